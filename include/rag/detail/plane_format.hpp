// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_FORMAT_HPP
#define RAG_DETAIL_PLANE_FORMAT_HPP
#include <rag/version.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// The planes that a file keeps beside its rows. A collection says which format they are in: 0 is none.

RAG_BEGIN
namespace detail {

inline constexpr std::uint32_t newest_planes = 0;
inline constexpr std::size_t plane_block = 16;  // rows

using ByteRanges = std::array<std::pair<std::size_t, std::size_t>, 4>;

inline std::size_t planes_size(std::uint32_t, std::size_t, std::size_t) { return 0; }

/// The bytes of the planes of an extent's blocks [first, last).
inline ByteRanges planes_ranges(std::uint32_t, std::size_t, std::size_t, std::size_t, std::size_t) { return {}; }

/// The planes of `blocks` blocks, for an area of that many.
inline std::vector<std::byte> make_planes(std::uint32_t, std::size_t, const float*, std::size_t) { return {}; }

}  // namespace detail
RAG_END
#endif
