// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_MODEL_FOLDER_HPP
#define RAG_EMBED_MODEL_FOLDER_HPP
#include <rag/detail/find_model.hpp>

#include <string>

RAG_BEGIN

/// The folder of a model on this machine, one with config.json and model.safetensors. `name` is a folder, NAME or
/// OWNER/NAME. Looked at, in this order:
///  1. `name` itself
///  2. RAG_MODEL_DIR: the model folder, or a folder with NAME or OWNER/NAME in it
///  3. ${XDG_CACHE_HOME:-~/.cache}/rag, which download_model() and tools/get_model.sh fill
///  4. the Hugging Face cache: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub
/// A name without an owner means sentence-transformers', else the only model of that name.
///
/// Errors: not_found (lists the places), invalid_argument (not a name, or several models of that name).
///
///     rag::SentenceEmbedder embedder(rag::model_folder("all-MiniLM-L6-v2"));
RAG_LAZY std::string model_folder(const std::string& name) { return detail::ModelSearch(name, "model_folder").find(); }

RAG_END
#endif
