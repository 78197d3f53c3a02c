#!/bin/sh
# Large files, wrong or only long: refused or accepted in time that grows with their size. Nothing is timed here; what is
# not linear runs into the test's time limit. usage: large.sh BIN SOURCE
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
n=50000

# each BEFORE FORMAT AFTER [COUNT]: a line for each i from 1, every @ in FORMAT being i and every ^ i - 1
each() {
    printf '%s\n' "$1"
    awk -v n="${4:-$n}" -v f="$2" 'BEGIN {
        k = split(f, part, /[@^]/)
        for (j = 1; j < k; j++) { at += length(part[j]) + 1; down[j] = substr(f, at, 1) == "^" }
        for (i = 1; i <= n; i++) {
            s = part[1]
            for (j = 1; j < k; j++) s = s (i - down[j]) part[j + 1]
            print s
        }
    }'
    printf '%s\n' "$3"
}
net='model m { input x[8] linear(4) }'
data='data { source = digits() }'

try() { # NAME CODE PATTERN, of the file that was just made
    mv file.znet "$1.znet"
    expect "$1" "$2" "$3" "$znetc" check "$1.znet"
    expect "$1 as JSON" "$2" "" "$znetc" check --diagnostics=json "$1.znet"
}

each "$net" 'block b@ { relu }' '' >file.znet
try unused_blocks 1 '^\.\.\. and 49980 more ZN0401$'
each "$net" 'let v@ = 1' '' >file.znet
try unused_lets 1 '^\.\.\. and 49980 more ZN0401$'
each "$net" 'let v = @' '' >file.znet
try duplicate_lets 1 '^\.\.\. and 49979 more ZN0202$'
each 'model m { input x[8]' 'layer@' '}' >file.znet
try unknown_layers 1 '^\.\.\. and 49980 more ZN0201$'
each 'model m { input x[8]' 'linear(name@)' '}' >file.znet
try unknown_names 1 '^\.\.\. and 49980 more ZN0201$'
{
    each '' 'let value@ = @' ''
    each 'model m { input x[8] linear(4 + 0 * (' 'valeu@ +' '0)) }' 200
    each 'let all = [' 'value@,' ']'
} >file.znet
try unknown_among_many 1 'did you mean `value[0-9]*`?'
each "$net $data train {" 'key@ = 1' '}' >file.znet
try unknown_keys 1 '^\.\.\. and 49980 more ZN0302$'
each "$net $data train {" 'batch = @' '}' >file.znet
try duplicate_keys 1 '^\.\.\. and 49979 more ZN0303$'
each 'model m { input x[8] linear(' 'a@ = 1,' ') }' >file.znet
try unknown_arguments 1 '^\.\.\. and 49980 more ZN0204$'
each 'model m { input x[8] linear(4' ', out = @' ') }' >file.znet
try duplicate_arguments 1 '^\.\.\. and 49980 more ZN0205$'
each 'model m { input x[8]' 'same: linear(4)' '}' 20000 >file.znet
try duplicate_labels 1 '^\.\.\. and 19979 more ZN0219$'
each 'block b(' 'p@,' ') { relu }' >file.znet
try parameters 1 'has 50000 parameters; a block has at most 256'
each "$net"' let a0 = 1' 'let a@ = a^ + 1' 'let b = [a50000, b]' >file.znet
try chain 1 'depends on itself'
each 'let a0 = 4' 'let a@ = a^ + 1' 'model m { input x[8] linear(a50000) }' >file.znet
try chain_good 0 ''
each 'let a50000 = 4' 'let a^ = a@ + 1' 'model m { input x[8] linear(a0) }' >file.znet
try chain_backwards 1 'declarations need each other too deeply'
each "$net let list = [" '@,' '] let x = len(list)' >file.znet
try long_list 1 'the let `x` is never used'
each 'let list = [' '@,' '] model m { input x[8] linear(4) repeat 40000 as i { linear(list[i]) } }' >file.znet
try long_list_used 1 'limit of 100000 operations'
each 'model m { input x[8] repeat 30000 as i { linear([' '@,' '][i]) } }' >file.znet
try list_in_loop 1 'limit of 20000000 steps of evaluation'
each "$net $data train { loss = cross_entropy optimizer = sgd batch = 10 epochs = 3 lr = step(0.1, at = [" '@,' ']) }' >file.znet
try schedule 1 ''
each "$net data { source = digits() augment = [" 'flip,' '] }' >file.znet
try augment 1 '^\.\.\. and 49979 more ZN0205$'
each "$net init zero(" '@,' ')' >file.znet
try positional 1 'takes at most'

finish
