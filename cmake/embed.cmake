# hone_embed(TARGET FILES...): each file src/DIR/assets/NAME.EXT becomes the symbols
# asset_NAME_EXT (bytes, ended by a zero) and asset_NAME_EXT_size, declared by hand where they are used.
function(hone_embed target)
  foreach(path ${ARGN})
    get_filename_component(name ${path} NAME)
    string(MAKE_C_IDENTIFIER ${name} id)
    set(out ${CMAKE_BINARY_DIR}/generated/asset_${id}.S)
    file(WRITE ${out}.in
".section .rodata
.global asset_${id}
.type asset_${id}, %object
.balign 16
asset_${id}:
.incbin \"${path}\"
asset_${id}_end:
.byte 0
.global asset_${id}_size
.type asset_${id}_size, %object
.balign 8
asset_${id}_size: .quad asset_${id}_end - asset_${id}
.section .note.GNU-stack,\"\",%progbits
")
    configure_file(${out}.in ${out} COPYONLY)
    set_source_files_properties(${out} PROPERTIES OBJECT_DEPENDS ${path} LANGUAGE ASM)
    target_sources(${target} PRIVATE ${out})
  endforeach()
endfunction()

# hone_embed_web(TARGET FOLDER [PATH=FILE...]): every file below FOLDER, and each FILE as if it were FOLDER/PATH, becomes a row of
# web_files (server/web_files.h), under its path from FOLDER.
function(hone_embed_web target folder)
  file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/*)
  set(pairs ${ARGN})
  foreach(path ${found})
    list(APPEND pairs ${path}=${folder}/${path})
  endforeach()
  list(SORT pairs)
  set(bytes ".section .rodata\n")
  set(declared "")
  set(rows "")
  set(files "")
  foreach(pair ${pairs})
    string(REGEX MATCH "^([^=]*)=(.*)$" _ ${pair})
    set(path ${CMAKE_MATCH_1})
    set(file ${CMAKE_MATCH_2})
    string(MAKE_C_IDENTIFIER web_${path} id)
    string(APPEND bytes ".global ${id}\n.type ${id}, %object\n${id}:\n.incbin \"${file}\"\n"
                        ".global ${id}_end\n.type ${id}_end, %object\n${id}_end:\n.byte 0\n")
    string(APPEND declared "extern const char ${id}[], ${id}_end[];\n")
    string(APPEND rows "    {\"${path}\", ${id}, ${id}_end},\n")
    list(APPEND files ${file})
  endforeach()
  string(APPEND bytes ".section .note.GNU-stack,\"\",%progbits\n")
  set(out ${CMAKE_BINARY_DIR}/generated/web_files)
  file(CONFIGURE OUTPUT ${out}.S CONTENT "${bytes}" @ONLY)
  file(CONFIGURE OUTPUT ${out}.c CONTENT "#include \"server/web_files.h\"\n\n${declared}\nconst struct web_file web_files[] = {\n${rows}};
const size_t n_web_files = sizeof web_files / sizeof web_files[0];\n" @ONLY)
  set_source_files_properties(${out}.S PROPERTIES OBJECT_DEPENDS "${files}" LANGUAGE ASM)
  target_sources(${target} PRIVATE ${out}.S ${out}.c)
endfunction()
