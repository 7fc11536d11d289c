// SPDX-License-Identifier: MIT
// 7. The tutorial, whole: a folder of pages, a sentence model, a collection in a file, an answer with citations.
//
//     07_milvus_faq [FOLDER] [QUESTION] [--compare] [--bf16]
//
// The model folder is RAG_MODEL_DIR (without it: no model, ranking by words). The collection is in a file, or where
// MILVUS_URI and MILVUS_TOKEN say: on a Milvus server, in Zilliz Cloud. The language model is the service
// whose key is in the environment (without one: sentences of the passages). --bf16: the sentence model's products in
// bf16, twice as fast and more where the processor has instructions for it; the scores change in their third place.
#include <rag/rag.hpp>

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iostream>

struct Job {
  std::string folder = "docs";
  std::string question = "How do I keep a store in a file?";
  bool compare = false;
  rag::Precision precision = rag::Precision::fp32;
};

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

void print_hits(const std::vector<rag::Hit>& hits) {
  auto json = nlohmann::ordered_json::array();
  for (const auto& [chunk, score] : hits) json.push_back({chunk.text, score});
  std::cout << json.dump(4) << "\n\n";
}

// What a browser shows: the page that the model wrote, or its words.
void write_page(const std::string& path, const std::string& text) {
  const std::size_t begin = std::min(text.find("<!DOCTYPE"), text.find("<html"));
  const std::size_t end = text.rfind("</html>");
  std::ofstream page(path);
  if (begin < end && end != std::string::npos) page << text.substr(begin, end + 7 - begin);
  else page << "<meta charset=\"utf-8\"><pre style=\"white-space: pre-wrap\">" << rag::escape_html(text) << "</pre>";
  std::cout << "written: " << path << '\n';
}

template <class Pipeline>
void answer(Pipeline& pipeline, const Job& job) {
  std::cout << "Answer:\n";
  const rag::Answer answer = pipeline.ask(job.question, [](std::string_view piece) { std::cout << piece << std::flush; });
  std::cout << "\n\n";
  for (const std::size_t number : answer.cited) {
    const rag::Chunk& chunk = answer.sources[number - 1].chunk;
    std::cout << '[' << number << "] " << chunk.source << ", bytes " << chunk.begin << " to " << chunk.end << '\n';
  }
}

template <class Pipeline>
void finish(Pipeline pipeline, const Job& job) {
  if (!job.compare) return answer(pipeline, job);
  const rag::Comparison both = pipeline.compare(job.question);
  std::cout << rag::side_by_side(both) << '\n';
  write_page("with_retrieval.html", both.with_retrieval.text);
  write_page("without_retrieval.html", both.without_retrieval.text);
}

// Hands `work` the language model that the environment offers.
template <class Work>
void with_llm(Work&& work) {
  if (const auto options = rag::options_from_environment()) return work(rag::OpenAiLlm{*options, rag::HttpsTransport{}});
  std::cerr << "No language model: answering with sentences of the passages. Set OPENROUTER_API_KEY, DEEPSEEK_API_KEY, "
               "OPENAI_API_KEY or OPENAI_BASE_URL for one.\n";
  work(rag::ExtractiveLlm{});
}

void run_without_model(const Job& job, const std::vector<rag::Document>& documents) {
  std::cerr << "No sentence model (RAG_MODEL_DIR): ranking by words.\n";
  with_llm([&](auto llm) {
    rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::Bm25{}, std::move(llm)};
    const rag::Added added = pipeline.add(documents, rag::ProgressBar("Indexing"));
    std::cout << added.chunks << " chunks\n\n";
    print_hits(pipeline.search(job.question, 3));
    finish(std::move(pipeline), job);
  });
}

void run_with_model(const Job& job, const std::vector<rag::Document>& documents, const std::string& model_folder) {
  rag::MiniLmEmbedder embedder{model_folder, {.precision = job.precision}};
  const std::vector<float> test = rag::embed_query(embedder, "This is a test");
  std::cout << "Embedding dimension: " << embedder.dimension() << "\nFirst 10 values: "
            << nlohmann::json(std::vector<float>(test.begin(), test.begin() + 10)).dump() << "\n\n";

  auto database = rag::open_store(environment("MILVUS_URI", "./milvus_demo.db"), environment("MILVUS_TOKEN", ""), rag::HttpsTransport{});
  const std::string collection = "my_rag_collection";
  if (database.has(collection)) database.drop(collection);
  auto store = database.create(
      collection, {.dimension = embedder.dimension(), .metric = rag::InnerProduct{}, .embedder = embedder.name()});
  with_llm([&](auto llm) {
    rag::Pipeline pipeline{rag::SeparatorChunker{"# "},
                           rag::Hybrid{rag::DenseRetriever{std::move(embedder), store}, rag::Bm25{}},
                           std::move(llm)};
    const rag::Added added = pipeline.add(documents, rag::ProgressBar("Creating embeddings"));
    std::cout << collection << ": " << added.chunks << " chunks";
    if (added.cut > 0) std::cout << " (" << added.cut << " longer than the model reads)";
    std::cout << "\n\n";
    print_hits(pipeline.retriever().first().search(job.question, 3));
    finish(std::move(pipeline), job);
  });
}

Job read_arguments(int count, char** values) {
  Job job;
  std::vector<std::string> plain;
  for (int i = 1; i < count; ++i) {
    const std::string value = values[i];
    if (value == "--compare") job.compare = true;
    else if (value == "--bf16") job.precision = rag::Precision::bf16;
    else if (value.starts_with("-")) throw rag::Error(rag::Errc::invalid_argument, "no such option: " + value);
    else plain.push_back(value);
  }
  if (plain.size() > 2) throw rag::Error(rag::Errc::invalid_argument, "FOLDER and QUESTION wanted, more given");
  if (!plain.empty()) job.folder = plain[0];
  if (plain.size() > 1) job.question = plain[1];
  return job;
}

int main(int count, char** values) try {
  const Job job = read_arguments(count, values);
  const rag::Folder folder = rag::read_directory(job.folder, {.extensions = {".md", ".txt"}});
  for (const auto& skipped : folder.skipped) std::cerr << "skipped " << skipped.path << ": " << skipped.reason << '\n';

  const std::string model_folder = environment("RAG_MODEL_DIR", "");
  std::cout << "Question: " << job.question << '\n';
  if (!model_folder.empty()) run_with_model(job, folder.documents, model_folder);
  else run_without_model(job, folder.documents);
} catch (const rag::Error& error) {
  std::cerr << error.what() << "\nusage: 07_milvus_faq [FOLDER] [QUESTION] [--compare] [--bf16]\n";
  return error.code() == rag::Errc::invalid_argument ? 2 : 1;
}
