# Curves of logs as SVG (see curves.sh). what, layer: variables; title: in the environment.
# Losses that differ much have a logarithmic axis; an accuracy is drawn from the first epoch on.
# No colour of the page is assumed: lines and letters have middling brightness, and there is no background. Curves of more
# than BINS points are means over as many equal parts.
function value(key,    i, s) {
    i = index($0, "\"" key "\":")
    if (!i)
        return ""
    s = substr($0, i + length(key) + 3)
    sub(/[,}].*/, "", s)
    gsub(/"/, "", s)
    return s == "null" ? "" : s
}

function point(t, v) {
    if (v == "" || t == "")
        return
    n[curve]++
    x[curve, n[curve]] = t + 0
    y[curve, n[curve]] = v + 0
}

function escape(s) {
    gsub(/&/, "\\&amp;", s)
    gsub(/</, "\\&lt;", s)
    gsub(/"/, "\\&quot;", s)
    return s
}

# A step of axes near range / parts: 1, 2 or 5 times a power of ten.
function nice(range, parts,    p, raw) {
    raw = range / parts
    p = exp(log(10) * int(log(raw) / log(10) + 1000) - 1000 * log(10))
    return raw / p > 5.0001 ? 10 * p : raw / p > 2.0001 ? 5 * p : raw / p > 1.0001 ? 2 * p : p
}

function at_x(v) { return left + width * (v - x0) / (x1 - x0) }

function at_y(v) { return top + height * (1 - (v - y0) / (y1 - y0)) }

function line(xa, ya, xb, yb, class) {
    printf "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, xa, ya, xb, yb
}

function label(px, py, anchor, text) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", px, py, anchor, escape(text)
}

# Means over BINS equal parts of the curve.
function thin(c,    i, b, k, sx, sy, m) {
    if (n[c] <= BINS)
        return
    for (b = 0; b < BINS; b++) {
        sx = sy = m = 0
        for (i = int(b * n[c] / BINS) + 1; i <= int((b + 1) * n[c] / BINS); i++) {
            sx += x[c, i]
            sy += y[c, i]
            m++
        }
        k = b + 1
        x[c, k] = sx / m
        y[c, k] = sy / m
    }
    n[c] = BINS
}

function bounds(c,    i) {
    for (i = 1; i <= n[c]; i++) {
        if (!any++) {
            x0 = x1 = x[c, i]
            y0 = y1 = y[c, i]
        }
        if (x[c, i] < x0) x0 = x[c, i]
        if (x[c, i] > x1) x1 = x[c, i]
        if (y[c, i] < y0) y0 = y[c, i]
        if (y[c, i] > y1) y1 = y[c, i]
    }
}

function axes(    s, v, k) {
    s = logarithmic ? 1 : nice(y1 - y0, 6)
    y0 = s * (int(y0 / s + 1000) - 1000)
    y1 = s * (int(y1 / s + 1000.999999) - 1000)
    for (k = 0; (v = y0 + k * s) <= y1 + s / 1000; k++) {
        line(left, at_y(v), left + width, at_y(v), "grid")
        label(left - 8, at_y(v) + 4, "end", sprintf("%.6g", logarithmic ? exp(v * log(10)) : v))
    }
    s = nice(x1 - x0, 8)
    for (k = 0; (v = s * (int(x0 / s) + k)) <= x1 + s / 1000; k++)
        if (v >= x0 - s / 1000) {
            line(at_x(v), top + height, at_x(v), top + height + 5, "axis")
            label(at_x(v), top + height + 19, "middle", sprintf("%.6g", v))
        }
    line(left, top + height, left + width, top + height, "axis")
    line(left, top, left, top + height, "axis")
    label(left + width / 2, top + height + 38, "middle", what == "train_loss" ? "step" : "epoch")
}

BEGIN {
    BINS = 150
    split("#d1495b #2f7ed8 #2a9d62 #c27c0e #8e63ce #0f95a3 #b84a93 #7d8a1f #5b6fd6 #b5651d", colour, " ")
    COLOURS = 10
    split("none 7,4 2,3", dash, " ")
    left = 70; top = 40; width = 560; height = 340
}
FNR == 1 {
    curve = ++curves
    name[curve] = FILENAME
    sub(/.*\//, "", name[curve])
    sub(/\.jsonl$/, "", name[curve])
    n[curve] = 0
}
/^\{"event":"initial"/ && what == "test_loss" { point(0, value(what)) }
/^\{"event":"step"/ && what == "train_loss" { point(value("step"), value("loss")) }
/^\{"event":"epoch"/ && what != "train_loss" { point(value("epoch"), value(what)) }
/^\{"event":"rank"/ {
    l = value("layer")
    sub(/\.weight$/, "", l)
    if (layer == "")
        layer = l
    if (l == layer)
        point(value("epoch"), value(what))
}
END {
    for (c = 1; c <= curves; c++) {
        last[c] = y[c, n[c]]
        thin(c)
        bounds(c)
    }
    if (!any)
        exit 1
    if (what ~ /loss/ && y0 > 0 && y1 > 20 * y0) {
        logarithmic = 1
        for (c = 1; c <= curves; c++)
            for (i = 1; i <= n[c]; i++)
                y[c, i] = log(y[c, i]) / log(10)
        y0 = log(y0) / log(10)
        y1 = log(y1) / log(10)
    }
    if (x1 == x0) x1 = x0 + 1
    if (y1 == y0) { y1 += 0.5; y0 -= 0.5 }
    for (c = 1; c <= curves; c++)
        if (n[c]) order[++m] = c
    for (i = 2; i <= m; i++) # the legend from the highest end to the lowest
        for (j = i; j > 1 && last[order[j]] > last[order[j - 1]]; j--) {
            c = order[j]; order[j] = order[j - 1]; order[j - 1] = c
        }
    legend = left + width + 24
    total = top + height + 50
    if (total < top + 20 * m + 20)
        total = top + 20 * m + 20
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n", \
        legend + 270, total, legend + 270, total
    print "<style>text{font:13px sans-serif;fill:#7a7a7a}.title{font-size:15px;font-weight:bold}"
    print ".grid{stroke:#808080;stroke-opacity:.25}.axis{stroke:#808080}.curve{fill:none;stroke-width:1.8}</style>"
    printf "<text class=\"title\" x=\"%d\" y=\"22\">%s</text>\n", left, escape(ENVIRON["title"])
    axes()
    for (i = 1; i <= m; i++) {
        c = order[i]
        style = sprintf("stroke=\"%s\" stroke-dasharray=\"%s\"", colour[(c - 1) % COLOURS + 1], \
            dash[int((c - 1) / COLOURS) % 3 + 1])
        printf "<polyline class=\"curve\" %s points=\"", style
        for (k = 1; k <= n[c]; k++)
            printf "%s%.1f,%.1f", (k > 1 ? " " : ""), at_x(x[c, k]), at_y(y[c, k])
        print "\"/>"
        if (n[c] == 1)
            printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", at_x(x[c, 1]), at_y(y[c, 1]), colour[(c - 1) % COLOURS + 1]
        printf "<line %s stroke-width=\"3\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", style, legend, top + 20 * i - 8, legend + 26, top + 20 * i - 8
        label(legend + 34, top + 20 * i - 4, "start", name[c] sprintf("  %.4g", last[c]))
    }
    print "</svg>"
}
