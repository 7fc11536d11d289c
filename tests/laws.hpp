// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_HPP
#define RAG_TESTS_LAWS_HPP

// One function a concept, check_chunker(c, document) and so on: it runs the sentences of rag/concepts.hpp
// against any model, with doctest's CHECK. Call them on a type of your own.
#include "laws/chunker.hpp"
#include "laws/embedder.hpp"
#include "laws/llm.hpp"
#include "laws/loader.hpp"
#include "laws/prompter.hpp"
#include "laws/refiner.hpp"
#include "laws/reranker.hpp"
#include "laws/retriever.hpp"
#include "laws/store.hpp"
#include "laws/transport.hpp"

#endif
