// SPDX-License-Identifier: MIT
#ifndef RAG_VERSION_HPP
#define RAG_VERSION_HPP

// The one place of the version number; the build files read it from here.
#define RAG_VERSION_MAJOR 0
#define RAG_VERSION_MINOR 1
#define RAG_VERSION_PATCH 0

// Everything lives in rag::v0. The inline namespace changes with every break of layout or meaning, so two
// versions of the library can stand in one program.
#define RAG_BEGIN   \
  namespace rag {   \
  inline namespace v0 {
// For what only some programs use. g++ instantiates all that the body of an inline function names, called or not; a
// template's body costs nothing until it is used. Such a class is named BasicX, and X is BasicX<>. It halves what
// core.hpp adds to a compilation: bench/run.sh compile.
#define RAG_LAZY template <class = void>

#define RAG_END \
  }             \
  }

#endif
