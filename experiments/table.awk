# The summaries of summary.awk as a table in markdown, and then what differs from the committed ones.
# usage: awk -F '\t' -v record=FILE -f table.awk SUMMARIES        record: "" where nothing is committed
function short(digest) { return digest == "-" || digest == "" ? "-" : substr(digest, 1, 12) }

function number(x, format) { return x == "-" ? "-" : sprintf(format, x) }

function time(s) { return s == "-" ? "-" : s < 120 ? sprintf("%.1f s", s) : sprintf("%.1f min", s / 60) }

# Layers in the order in which they come up.
function learn(ranks,    n, i, part, name) {
    if (ranks == "-")
        return
    n = split(ranks, part, ",")
    for (i = 1; i <= n; i++) {
        name = part[i]
        sub(/=.*/, "", name)
        if (!(name in known)) {
            known[name] = 1
            layer[++layers] = name
        }
    }
}

function of_layer(ranks, name,    n, i, part, value, v) {
    n = split(ranks, part, ",")
    for (i = 1; i <= n; i++)
        if (index(part[i], name "=") == 1) {
            value = substr(part[i], length(name) + 2)
            split(value, v, ":")
            return v[1] " | " v[2] " | " v[3] " of " v[4]
        }
    return "- | - | -"
}

# What is the same wherever it runs is compared always; bits of training and accuracies only on a processor of the same name.
function compare(i,    key, r, what, there) {
    key = cell[i] SUBSEP seed[i]
    if (!(key in old))
        return "not in the record"
    split(old[key], r, "\t")
    if (r[4] != steps[i] || r[5] != epochs[i])
        return "another length of run: not compared"
    if (r[3] != state[i])
        return "was " r[3] ", is " state[i]
    if (r[7] != start[i])
        what = "start " short(r[7]) " there, " short(start[i]) " here"
    if (r[8] != weights[i])
        what = what (what == "" ? "" : "; ") "weights " short(r[8]) " there, " short(weights[i]) " here"
    if (r[9] != accuracy[i])
        what = what (what == "" ? "" : "; ") sprintf("accuracy %.2f there, %.2f here", r[9], accuracy[i])
    if (r[12] != ranks[i] && r[12] != "")
        what = what (what == "" ? "" : "; ") "ranks " r[12] " there, " ranks[i] " here"
    if (what == "")
        return "the same"
    return what (r[6] != cpu[i] ? " (recorded on " r[6] ", this is " cpu[i] ")" : "")
}

BEGIN {
    while (record != "" && (getline line < record) > 0) {
        if (line ~ /^#/)
            continue
        split(line, r, "\t")
        old[r[1], r[2]] = line
        compared = 1
    }
}
{
    n++
    cell[n] = $1; seed[n] = $2; state[n] = $3; steps[n] = $4; epochs[n] = $5; cpu[n] = $6; start[n] = $7
    weights[n] = $8; accuracy[n] = $9; loss[n] = $10; seconds[n] = $11; ranks[n] = $12
    learn($12)
    seeds[$2] = 1
}
END {
    head = "| cell | seed | test accuracy % | training loss |"
    rule = "| --- | --- | ---: | ---: |"
    for (k = 1; k <= layers; k++) {
        head = head " " layer[k] ": rank of W - I* | rank of W | distinct outputs |"
        rule = rule " ---: | ---: | ---: |"
    }
    print head " start | weights | time |"
    print rule " --- | --- | ---: |"
    for (i = 1; i <= n; i++) {
        row = "| " cell[i] " | " seed[i] " | "
        if (state[i] == "done" || state[i] == "stopped")
            row = row number(accuracy[i], "%.2f") (state[i] == "stopped" ? " (stopped)" : "") " | " number(loss[i], "%.4f")
        else
            row = row (state[i] == "-" ? "incomplete" : state[i]) " | -"
        for (k = 1; k <= layers; k++)
            row = row " | " of_layer(ranks[i], layer[k])
        print row " | " short(start[i]) " | " short(weights[i]) " | " time(seconds[i]) " |"
        if (state[i] == "done" && accuracy[i] != "-") {
            if (!(cell[i] in count))
                order[++cells] = cell[i]
            count[cell[i]]++
            sum[cell[i]] += accuracy[i]
            square[cell[i]] += accuracy[i] * accuracy[i]
        }
    }
    for (s in seeds)
        several++
    if (several > 1) {
        print "\n| cell | seeds | test accuracy %, mean | deviation |\n| --- | ---: | ---: | ---: |"
        for (k = 1; k <= cells; k++) {
            name = order[k]; c = count[name]; mean = sum[name] / c
            var = c > 1 ? (square[name] - c * mean * mean) / (c - 1) : 0
            printf "| %s | %d | %.2f | %s |\n", name, c, mean, (c > 1 ? sprintf("%.2f", sqrt(var > 0 ? var : 0)) : "-")
        }
    }
    if (!compared)
        exit
    print "\nAgainst the record:\n"
    for (i = 1; i <= n; i++)
        print "- " cell[i] ", seed " seed[i] ": " compare(i)
}
