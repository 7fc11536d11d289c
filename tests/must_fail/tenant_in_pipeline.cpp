// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 3 is not a Store
#include <rag/core.hpp>

#include <utility>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, std::move(tenants), rag::EchoLlm{}};
#else
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, std::move(alice), rag::EchoLlm{}};
#endif
}
