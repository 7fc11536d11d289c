// SPDX-License-Identifier: MIT
#ifndef RAG_RAG_HPP
#define RAG_RAG_HPP

// Everything: core.hpp, sentence models from a folder, and services over HTTPS. Needs Eigen, nlohmann/json,
// cpp-httplib and OpenSSL.
#include <rag/core.hpp>
#include <rag/document/jsonl.hpp>
#include <rag/embed/download.hpp>
#include <rag/embed/minilm.hpp>
#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/llm/structured.hpp>
#include <rag/net/http.hpp>
#include <rag/net/https.hpp>
#include <rag/net/rate_limit.hpp>
#include <rag/net/retry.hpp>
#include <rag/net/service_error.hpp>
#include <rag/net/tape.hpp>
#include <rag/net/trace.hpp>
#include <rag/retrieve/cross_encoder.hpp>
#include <rag/retrieve/service_reranker.hpp>
#include <rag/store/any.hpp>
#include <rag/store/jsonl.hpp>
#include <rag/store/milvus.hpp>
#include <rag/store/milvus_collections.hpp>

#endif
