# SPDX-License-Identifier: MIT
# Stands for the real recipe: passes on what the system's package has, as pkg-config tells it.
from conan import ConanFile
from conan.tools.gnu import PkgConfig


class SystemPackage(ConanFile):
    name = "cpp-httplib"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"with_openssl": [True, False]}
    default_options = {"with_openssl": False}

    def package_id(self):
        self.info.clear()

    def package_info(self):
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.bindirs = []
        PkgConfig(self, "cpp-httplib").fill_cpp_info(self.cpp_info, is_system=True)
        self.cpp_info.set_property("cmake_file_name", "httplib")
        self.cpp_info.set_property("cmake_target_name", "httplib::httplib")
