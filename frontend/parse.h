/* Private to the front end: what the scanner, the token stream and the parser share.
 *
 * Tokens go from the scanner (lexer.l) through zn_yylex (parse.c), which matches brackets and does the skipping after a
 * syntax error, into the parser (parser.y). A location is a span that remembers where it ends in the text. */
#ifndef ZN_FRONTEND_PARSE_H
#define ZN_FRONTEND_PARSE_H

#include "frontend/ast.h"

typedef struct zn_loc {
    zn_span at;
    uint32_t off; /* of the first byte; the end is off + at.len */
} zn_loc;

/* Value of a token. */
typedef struct zn_lexeme {
    const char *s; /* NAME, STRING, SEGMENT; text of keywords */
    int64_t i;
    double f;
    bool bad; /* the scanner reported it */
} zn_lexeme;

typedef struct zn_token {
    int kind; /* of parser.y; 0 at the end */
    zn_loc loc;
    zn_lexeme v;
    bool first;     /* in its line */
    bool after_bad; /* something in front of it was reported and dropped */
} zn_token;

/* A declaration or section: a stretch of tokens. */
typedef struct zn_item {
    size_t first, end;
    int missing, extra; /* `}` */
    bool damaged;       /* by a syntax error */
    bool hole;          /* behind its end: other items may be hidden there */
} zn_item;

/* A `}` to put in front of a token, or to drop. */
typedef struct zn_repair {
    size_t token;
    bool drop;
    zn_loc open; /* the brace that it closes, or would close */
} zn_repair;

typedef struct zn_outline {
    ZN_VEC(zn_token) tokens; /* the last is the end */
    ZN_VEC(zn_item) items;
    ZN_VEC(zn_repair) repairs; /* in order */
} zn_outline;

typedef struct zn_parse {
    zn_arena *arena;
    zn_diags *d;
    const char *text;
    size_t n;
    const char *option; /* parsing the value of this option: places mean nothing */
    zn_file *file;
    zn_expr *expr; /* the result where an option was parsed */
    void *scanner;
    uint32_t first_line;     /* of the text: 1 but for imported files */
    uint32_t line, col, off; /* of the scanner */
    uint32_t last_line;      /* of the last token */
    bool dropped;            /* since the last token */
    int start;               /* token that is handed out first, or 0 */
    zn_token now, peeked;
    bool has_peeked;
    /* open brackets: '(', '[' or '{' and where */
    struct zn_open {
        int kind;
        zn_loc loc;
    } open[ZN_MAX_NESTING];
    int nopen;
    int closing;     /* closing brackets to make up because a section keyword came too early */
    bool recovering; /* skip to the brace that closes level `level`, or to a section keyword */
    int level;
    bool making_up; /* closing brackets are being made up: their errors are not the user's */
    bool holding;   /* the token that waits for them */
    bool made;      /* a `}` is made up for what is skipped */
    zn_token held;
    bool closed_brace; /* the last token closed a brace that was open */
    bool lenient;      /* a string did not end: what it swallowed may be missing, once */
    bool quiet;        /* consequences of something reported: say nothing */
    bool stop;         /* give up: deliver the end */
    size_t syntax_errors;
    zn_outline *outline; /* NULL: of an option */
    size_t repaired;     /* repairs that were made */
    zn_item *said;       /* the item whose syntax error was reported last */
    zn_loc closed;       /* the last brace that ended an item's body */
    uint32_t wrong;      /* where the token stands that had the last syntax error */
    uint32_t wrong_line;
    uint32_t mended;     /* where the last `}` was made up */
    uint32_t resume_col; /* while skipping: where the next entry or term of the brace would begin, or 0 */
    bool resume_keys;    /* an entry */
    bool resuming;       /* with the token that is held */
    bool before_bad;     /* the token before `now` was reported */
    int before;          /* the kind of the token before `now` */
    zn_body *ended;      /* of the last block or model */
    uint32_t ended_off;
} zn_parse;

/* Reports at a place of the text, or at the option. */
zn_diag *zn_parse_error(zn_parse *p, zn_diag_id id, zn_loc at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The parser met the token `now` (named `found`) where `expected` should stand: reports and begins to skip. */
void zn_parse_syntax_error(zn_parse *p, zn_loc at, const char *found, const char *expected);
/* Whether the last token may begin an item of the file, or is its end. */
bool zn_parse_can_resume(const zn_parse *p);
/* The span for nodes: nowhere while an option is parsed. */
zn_span zn_parse_span(const zn_parse *p, zn_loc at);

/* outline.c: a first look at the tokens. */
bool zn_starts_section(int kind);
zn_outline *zn_outline_make(zn_arena *a, const zn_parse *p);
/* The item that holds a place. */
zn_item *zn_outline_item(zn_outline *o, uint32_t off);
/* The column of what stands in a brace, in lines of its own; 0 if there are none. keys: of a section, not of a body. */
uint32_t zn_outline_column(const zn_outline *o, const zn_item *item, zn_loc brace, bool *keys);
/* There is a syntax error at a place. */
void zn_outline_damage(zn_outline *o, uint32_t off);
/* Words of damaged items, or of a text that was not parsed. */
void zn_outline_lose(zn_arena *a, const zn_outline *o, zn_file *f);
void zn_lose_words(zn_arena *a, zn_file *f, const char *s, size_t n);

/* Both report to d. False if there was a syntax error: the tree has holes then, and says where. */
bool zn_parse_file(zn_arena *a, const char *text, size_t n, uint32_t first_line, zn_diags *d, zn_file *file);
zn_expr *zn_parse_option(zn_arena *a, const char *text, const char *option, zn_diags *d); /* NULL: reported */

/* Scanner, lexer.l. */
int zn_scan_open(zn_parse *p);
void zn_scan_close(zn_parse *p);
int zn_scan(zn_token *t, void *scanner);

#endif
