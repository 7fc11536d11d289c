// SPDX-License-Identifier: MIT
// <resolv.h>, which https.hpp may bring, has macros; Eigen comes after it here.
#include <rag/net/https.hpp>
#include <rag/store/flat.hpp>
#include <rag/embed/sentence.hpp>

#include <doctest/doctest.h>

TEST_CASE("headers of the network may come before those of matrices") {
#ifdef _res
  CHECK(&_res != nullptr);  // and keep their macros
#endif
  CHECK(rag::FlatStore().size() == 0);
}
