// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_MINILM_HPP
#define RAG_EMBED_MINILM_HPP
#include <rag/embed/sentence.hpp>

RAG_BEGIN

/// The name of the tutorial, whose model is all-MiniLM-L6-v2. It takes every model that a SentenceEmbedder takes.
///
///     rag::MiniLmEmbedder embedder("all-MiniLM-L6-v2");   // 384 columns, rows of length 1
using MiniLmEmbedder = SentenceEmbedder;
using MiniLmOptions = SentenceEmbedderOptions;

RAG_END
#endif
