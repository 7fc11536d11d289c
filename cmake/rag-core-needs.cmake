# SPDX-License-Identifier: MIT
# Finds what rag::core needs, for the build and for an installed package. Sets rag_core_missing.
set(rag_core_missing "")
if(NOT TARGET Eigen3::Eigen)
  # Without a version here, because Eigen 5 would not pass for 3.4.
  find_package(Eigen3 CONFIG QUIET)
  if(NOT TARGET Eigen3::Eigen OR Eigen3_VERSION VERSION_LESS 3.4)
    set(rag_core_missing "Eigen 3.4 or newer")
  endif()
endif()
