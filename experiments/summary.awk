# A line of tab-separated fields for each log that is named: what a table of experiments shows of it.
# usage: awk -v steps=N -f summary.awk LOG...      N: losses of the last N steps that are logged instead of the
# last epoch's; 0: the epoch's (where a run ended before, of the last 10)
# A log is named CELL.SEED.jsonl. Fields: cell, seed, state (done, stopped, diverged, failed, or - while it is incomplete),
# --steps, --epochs (- where not given), processor, sha256 of the start, sha256 of the weights, test accuracy, training
# loss, seconds, ranks, test accuracy with views. Ranks are of the last state: layer=rank of W - I*:rank:distinct
# rows:rows, joined by commas.
function text(key,    i, s) { # value of a key, without its quotation marks; - where there is none or null
    i = index($0, "\"" key "\":")
    if (!i)
        return "-"
    s = substr($0, i + length(key) + 3)
    if (substr(s, 1, 1) == "\"") {
        s = substr(s, 2)
        i = index(s, "\"")
    } else
        i = match(s, /[,}]/)
    s = substr(s, 1, i - 1)
    return s == "null" || s == "" ? "-" : s
}

function forget(    i) {
    state = steps_given = epochs_given = cpu = start = weights = accuracy = views = loss = seconds = "-"
    layers = nloss = whole = 0
}

function flush(    i, name, seed, ranks, sum, n) {
    if (file == "")
        return
    name = file
    sub(/.*\//, "", name)
    sub(/\.jsonl$/, "", name)
    seed = name
    sub(/.*\./, "", seed)
    sub(/\.[^.]*$/, "", name)
    last = steps > 0 ? steps : whole ? 0 : 10
    for (i = nloss; i > 0 && i > nloss - last; i--) {
        sum += losses[i]
        n++
    }
    if (n)
        loss = sum / n
    for (i = 1; i <= layers; i++)
        ranks = ranks (i > 1 ? "," : "") layer[i] "=" rank[layer[i]]
    base = file
    sub(/\.jsonl$/, "", base)
    if ((getline why < (base ".state")) > 0 && state == "-")
        state = why
    close(base ".state")
    result[file] = name "\t" seed "\t" state "\t" steps_given "\t" epochs_given "\t" cpu "\t" start "\t" weights "\t" accuracy \
        "\t" loss "\t" seconds "\t" (ranks == "" ? "-" : ranks) "\t" views
}

FNR == 1 {
    flush()
    file = FILENAME
    forget()
}
/^\{"event":"start"/ {
    cpu = text("cpu")
    start = text("start_sha256")
    steps_given = text("--steps")
    epochs_given = text("--epochs")
}
/^\{"event":"initial"/ {
    accuracy = text("test_accuracy")
    loss = text("train_loss")
}
/^\{"event":"step"/ { losses[++nloss] = text("loss") }
/^\{"event":"rank"/ {
    name = text("layer")
    sub(/\.weight$/, "", name)
    if (!(FILENAME SUBSEP name in seen))
        layer[++layers] = name
    seen[FILENAME, name] = 1
    rank[name] = text("rank_minus_identity") ":" text("rank") ":" text("distinct_rows") ":" text("rows")
}
/^\{"event":"epoch"/ {
    accuracy = text("test_accuracy")
    loss = text("train_loss")
    whole = 1
}
/^\{"event":"end"/ {
    state = text("interrupted") == "true" ? "stopped" : "done"
    accuracy = text("test_accuracy")
    views = text("test_accuracy_views")
    weights = text("weights_sha256")
    seconds = text("seconds")
}
END {
    flush()
    for (k = 1; k < ARGC; k++) {
        if (ARGV[k] !~ /\.jsonl$/)
            continue
        if (!(ARGV[k] in result)) { # an empty log: the run did not begin
            file = ARGV[k]
            forget()
            flush()
        }
        print result[ARGV[k]]
    }
}
