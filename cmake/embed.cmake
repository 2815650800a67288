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
