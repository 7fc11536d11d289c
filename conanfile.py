# SPDX-License-Identifier: MIT
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load

required_conan_version = ">=2.0"


class RagConan(ConanFile):
    name = "rag"
    description = "Retrieval-augmented generation, header-only"
    license = "MIT"
    topics = ("rag", "retrieval", "embeddings", "llm", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    default_options = {"cpp-httplib/*:with_openssl": True}
    exports_sources = "include/*", "LICENSE"
    no_copy_source = True
    test_package_folder = "packaging/conan/test_package"

    def set_version(self):
        # The version number lives in version.hpp alone.
        text = load(self, os.path.join(self.recipe_folder, "include/rag/version.hpp"))
        self.version = ".".join(re.findall(r"define RAG_VERSION_[A-Z]+ (\d+)", text))

    def requirements(self):
        self.requires("eigen/[>=3.4 <6]", transitive_headers=True)
        self.requires("nlohmann_json/[>=3.11 <4]", transitive_headers=True)
        self.requires("cpp-httplib/[>=0.11.4 <1]", transitive_headers=True)
        self.requires("openssl/[>=1.1 <4]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package_id(self):
        self.info.clear()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "rag")
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []

        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "rag::core")
        core.set_property("pkg_config_name", "rag-core")
        core.requires = ["eigen::eigen"]

        everything = self.cpp_info.components["rag"]
        everything.set_property("cmake_target_name", "rag::rag")
        everything.set_property("pkg_config_name", "rag")
        everything.requires = ["core", "nlohmann_json::nlohmann_json", "cpp-httplib::cpp-httplib", "openssl::openssl"]
        for component in (core, everything):
            component.bindirs = []
            component.libdirs = []
        if self.settings.os in ("Linux", "FreeBSD"):
            everything.system_libs = ["pthread"]
