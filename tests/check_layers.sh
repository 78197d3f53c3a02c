#!/bin/sh
# Who may include whom. usage: check_layers.sh SOURCE
#   support <- everyone   ir -> support   frontend, passes -> ir   backend -> ir and runtime/abi.h
#   runtime -> its own folder and support/{clock,file,number,math,philox,formula,utf8}.h   driver -> everyone
# Includes of the project are written from the root ("ir/op.h"). LLVM is for backend/ alone, OpenBLAS for runtime/blas.c.
set -u
cd "$1" || exit 2
bad=0 files=0
say() {
    echo "FAIL $*"
    bad=$((bad + 1))
}

allowed() { # FILE FOLDER INCLUDE
    case $2 in
    support) case $3 in support/*) return 0 ;; esac ;;
    ir) case $3 in ir/* | support/*) return 0 ;; esac ;;
    frontend) case $3 in frontend/* | ir/* | support/*) return 0 ;; esac ;;
    passes) case $3 in passes/* | ir/* | support/*) return 0 ;; esac ;;
    backend) case $3 in backend/* | ir/* | support/* | runtime/abi.h) return 0 ;; esac ;;
    runtime)
        case $3 in
        runtime/* | support/clock.h | support/file.h | support/number.h | support/math.h | support/philox.h | support/formula.h | support/utf8.h) return 0 ;;
        esac
        ;;
    driver) case $3 in driver/* | frontend/* | passes/* | backend/* | runtime/* | ir/* | support/*) return 0 ;; esac ;;
    esac
    return 1
}

for folder in support ir frontend passes backend runtime driver; do
    for file in "$folder"/*.[chly] "$folder"/*.def "$folder"/*/*.[ch]; do
        [ -e "$file" ] || continue
        files=$((files + 1))
        for include in $(sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file"); do
            [ -e "$include" ] || [ "$include" = frontend/parser.h ] || [ "$include" = driver/examples.inc ] || # made by the build
                say "$file includes \"$include\", which is not a path from the root"
            allowed "$file" "$folder" "$include" || say "$file includes $include, which a file of $folder/ may not"
        done
        for include in $(sed -n 's/^ *# *include *<\([^>]*\)>.*/\1/p' "$file"); do
            case $include in
            llvm-c/* | llvm/*) [ "$folder" = backend ] || say "$file includes <$include>: LLVM is for backend/" ;;
            cblas.h | openblas*) [ "$file" = runtime/blas.c ] || say "$file includes <$include>: OpenBLAS is for runtime/blas.c" ;;
            esac
        done
    done
done

# The ABI is standalone C.
grep -n '^ *# *include *"' runtime/abi.h && say "runtime/abi.h includes another header of the project"
[ "$files" -gt 50 ] || say "only $files files were found"
echo "$files files, $bad wrong"
[ "$bad" -eq 0 ]
