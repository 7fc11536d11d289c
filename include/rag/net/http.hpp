// SPDX-License-Identifier: MIT
#ifndef RAG_NET_HTTP_HPP
#define RAG_NET_HTTP_HPP
#include <rag/concepts.hpp>

#include <functional>

RAG_BEGIN

/// Any transport behind one type. net/https.hpp has a real one; a tape in a test is a lambda.
using AnyTransport = std::function<Response(const Request&)>;
static_assert(Transport<AnyTransport>);

RAG_END
#endif
