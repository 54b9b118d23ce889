# Debian's CMake files name the shared libraries of gRPC, Protobuf, Abseil and RocksDB. Linked from
# the archives beside them, a program starts in half the time, and calls go to functions rather than
# through tables. What is shared still (OpenSSL, libpq, SQLite, c-ares) is mended by the system's
# updates, without a build.
#
# Sets BUE_ARCHIVES, and BUE_ROCKSDB to the target to link. Not in builds that a sanitizer looks at:
# tests/support/tsan_locks.cc takes the place of functions of the shared Abseil.
if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  set(BUE_ARCHIVES OFF)
  set(BUE_MALLOC "")
  set(BUE_ROCKSDB RocksDB::rocksdb-shared)
  return()
endif()
set(BUE_ARCHIVES ON)
find_library(BUE_MALLOC libtcmalloc_minimal.a REQUIRED)
set(BUE_ROCKSDB RocksDB::rocksdb)

get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
list(FILTER targets INCLUDE REGEX "^(absl|gRPC|protobuf)::")
foreach(target IN LISTS targets)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL SHARED_LIBRARY AND NOT type STREQUAL UNKNOWN_LIBRARY)
    continue()
  endif()
  get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
  set(properties IMPORTED_LOCATION)
  if(configurations)
    list(TRANSFORM configurations PREPEND IMPORTED_LOCATION_ OUTPUT_VARIABLE located)
    list(APPEND properties ${located})
  endif()
  foreach(property IN LISTS properties)
    get_target_property(library ${target} ${property})
    string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive "${library}")
    if(library AND EXISTS "${archive}")
      set_target_properties(${target} PROPERTIES ${property} "${archive}")
    endif()
  endforeach()
endforeach()
