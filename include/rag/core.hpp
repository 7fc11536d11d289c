// SPDX-License-Identifier: MIT
#ifndef RAG_CORE_HPP
#define RAG_CORE_HPP

// Everything that works without a network and without a model from elsewhere. Needs Eigen and the standard
// library, nothing else.
#include <rag/concepts.hpp>  // these two first, so that a compiler that quotes them does not tell the way through others
#include <rag/pipeline.hpp>

#include <rag/chat.hpp>
#include <rag/chunk/code.hpp>
#include <rag/chunk/context.hpp>
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/html.hpp>
#include <rag/chunk/markdown.hpp>
#include <rag/chunk/parent.hpp>
#include <rag/chunk/recursive.hpp>
#include <rag/chunk/semantic.hpp>
#include <rag/chunk/sentence.hpp>
#include <rag/chunk/separator.hpp>
#include <rag/chunk/tokens.hpp>
#include <rag/cpu.hpp>
#include <rag/document/csv.hpp>
#include <rag/document/load.hpp>
#include <rag/document/read.hpp>
#include <rag/embed/cached.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/embed/model_folder.hpp>
#include <rag/embed/stream.hpp>
#include <rag/error.hpp>
#include <rag/evaluate.hpp>
#include <rag/llm/echo.hpp>
#include <rag/llm/extractive.hpp>
#include <rag/progress.hpp>
#include <rag/prompt/qa.hpp>
#include <rag/render.hpp>
#include <rag/retrieve/at_least.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/decompose.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/diverse.hpp>
#include <rag/retrieve/hybrid.hpp>
#include <rag/retrieve/hyde.hpp>
#include <rag/retrieve/merge_neighbours.hpp>
#include <rag/retrieve/most_per_source.hpp>
#include <rag/retrieve/multi_query.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/retrieve/refined.hpp>
#include <rag/retrieve/store_bm25.hpp>
#include <rag/statements.hpp>
#include <rag/store/content_id.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/flat.hpp>
#include <rag/store/open.hpp>
#include <rag/store/salvage.hpp>
#include <rag/store/tenant.hpp>
#include <rag/sync.hpp>
#include <rag/types.hpp>
#include <rag/version.hpp>

#endif
