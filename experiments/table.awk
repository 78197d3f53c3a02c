# The summaries of summary.awk as a table in markdown, and then what differs from the committed ones.
# usage: awk -F '\t' -v record=FILE -v pair=CELL -f table.awk SUMMARIES
#   record: "" where nothing is committed; pair: the cell that others are compared to, seed by seed; "": none
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
        what = what (what == "" ? "" : "; ") "accuracy " number(r[9], "%.2f") " there, " number(accuracy[i], "%.2f") " here"
    if (r[13] != views[i] && r[13] != "")
        what = what (what == "" ? "" : "; ") "with views " number(r[13], "%.2f") " there, " number(views[i], "%.2f") " here"
    if (r[12] != ranks[i] && r[12] != "")
        what = what (what == "" ? "" : "; ") "ranks " r[12] " there, " ranks[i] " here"
    if (what == "")
        return "the same"
    return what (r[6] != cpu[i] ? " (recorded on " r[6] ", this is " cpu[i] ")" : "")
}

function deviation(sum, square, n,    var) {
    var = n > 1 ? (square - sum * sum / n) / (n - 1) : 0
    return sqrt(var > 0 ? var : 0)
}

# "mean | deviation |" of a cell's numbers of a kind.
function spread(name, kind,    c) {
    c = count[name, kind]
    if (!c)
        return " - | - |"
    return sprintf(" %.2f | %s |", sum[name, kind] / c, c > 1 ? sprintf("%.2f", deviation(sum[name, kind], square[name, kind], c)) : "-")
}

function take(name, kind, seed, x) {
    if (x == "-" || x == "")
        return
    value[name, kind, seed] = x
    count[name, kind]++
    sum[name, kind] += x
    square[name, kind] += x * x
}

# "pairs | difference | standard error |" of a cell to the cell `pair`, over the seeds that both have.
function paired(name, kind,    s, d, n, total, squares) {
    for (s in seeds)
        if ((name SUBSEP kind SUBSEP s) in value && (pair SUBSEP kind SUBSEP s) in value) {
            d = value[name, kind, s] - value[pair, kind, s]
            n++
            total += d
            squares += d * d
        }
    if (!n)
        return ""
    return sprintf(" %d | %+.2f | %s |", n, total / n, n > 1 ? sprintf("%.2f", deviation(total, squares, n) / sqrt(n)) : "-")
}

function several_seeds(    k, name, head, rule, row) {
    head = "| cell | seeds | test accuracy %, mean | deviation |"
    rule = "| --- | ---: | ---: | ---: |"
    print "\n" head (with_views ? " with views %, mean | deviation |" : "")
    print rule (with_views ? " ---: | ---: |" : "")
    for (k = 1; k <= cells; k++) {
        name = order[k]
        print "| " name " | " count[name, "plain"] " |" spread(name, "plain") (with_views ? spread(name, "views") : "")
    }
    for (k = 1; k <= cells; k++) {
        row = order[k] == pair || pair == "" ? "" : paired(order[k], with_views ? "views" : "plain")
        if (row == "")
            continue
        if (!printed++)
            print "\n| cell, less " pair " by seed | pairs | difference" (with_views ? " with views" : "") \
                " | standard error |\n| --- | ---: | ---: | ---: |"
        print "| " order[k] " |" row
    }
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
    weights[n] = $8; accuracy[n] = $9; loss[n] = $10; seconds[n] = $11; ranks[n] = $12; views[n] = $13 == "" ? "-" : $13
    if (views[n] != "-")
        with_views = 1
    learn($12)
    seeds[$2] = 1
}
END {
    head = "| cell | seed | test accuracy % |" (with_views ? " with views % |" : "") " training loss |"
    rule = "| --- | --- | ---: | ---: |" (with_views ? " ---: |" : "")
    for (k = 1; k <= layers; k++) {
        head = head " " layer[k] ": rank of W - I* | rank of W | distinct outputs |"
        rule = rule " ---: | ---: | ---: |"
    }
    print head " start | weights | time |"
    print rule " --- | --- | ---: |"
    for (i = 1; i <= n; i++) {
        row = "| " cell[i] " | " seed[i] " | "
        ended = state[i] == "done" || state[i] == "stopped"
        row = row (ended ? number(accuracy[i], "%.2f") (state[i] == "stopped" ? " (stopped)" : "") : \
            state[i] == "-" ? "incomplete" : state[i])
        if (with_views)
            row = row " | " (ended ? number(views[i], "%.2f") : "-")
        row = row " | " (ended ? number(loss[i], "%.4f") : "-")
        for (k = 1; k <= layers; k++)
            row = row " | " of_layer(ranks[i], layer[k])
        print row " | " short(start[i]) " | " short(weights[i]) " | " time(seconds[i]) " |"
        if (state[i] == "done" && accuracy[i] != "-") {
            if (!((cell[i], "plain") in count))
                order[++cells] = cell[i]
            take(cell[i], "plain", seed[i], accuracy[i])
            take(cell[i], "views", seed[i], views[i])
        }
    }
    for (s in seeds)
        several++
    if (several > 1)
        several_seeds()
    if (!compared)
        exit
    print "\nAgainst the record:\n"
    for (i = 1; i <= n; i++)
        print "- " cell[i] ", seed " seed[i] ": " compare(i)
}
