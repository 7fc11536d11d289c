// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_EIGEN_HPP
#define RAG_DETAIL_EIGEN_HPP

// Eigen 3.4 has parameters named _res, and <resolv.h>, which cpp-httplib brings, a macro of that name.
#pragma push_macro("_res")
#undef _res
#include <Eigen/Core>
#pragma pop_macro("_res")

#endif
