/* Grammar of .znet files: tokens to the syntax tree.
 *
 * LALR(1) without conflicts. Everything lives in the arena of the parse, so no symbol needs a destructor. After a
 * syntax error parse.c skips to the brace that closes the body or section, or to the next declaration. */
%code requires {
#include "frontend/parse.h"
}
%code {
int zn_yylex(ZN_YYSTYPE *v, zn_loc *loc, zn_parse *p);
static void zn_yyerror(const zn_loc *loc, zn_parse *p, const char *msg);

#define YYLLOC_DEFAULT(Cur, Rhs, N)                                                                                    \
    do {                                                                                                               \
        if (N) {                                                                                                       \
            (Cur) = YYRHSLOC(Rhs, 1);                                                                                  \
            (Cur).at.len = YYRHSLOC(Rhs, N).off + YYRHSLOC(Rhs, N).at.len - (Cur).off;                                 \
        } else {                                                                                                       \
            (Cur) = YYRHSLOC(Rhs, 0);                                                                                  \
            (Cur).off += (Cur).at.len;                                                                                 \
            (Cur).at.col += (Cur).at.len;                                                                              \
            (Cur).at.len = 0;                                                                                          \
        }                                                                                                              \
    } while (0)
#define YYMAXDEPTH 20000
#define SPAN(loc) zn_parse_span(p, loc)

static zn_expr *leaf(zn_parse *p, zn_expr_kind kind, zn_loc at, const zn_lexeme *v);
static zn_expr *node(zn_parse *p, zn_expr_kind kind, zn_loc at, zn_expr *a, zn_expr *b, zn_expr *c);
static zn_expr *binary(zn_parse *p, zn_bop op, zn_loc at, zn_loc op_at, zn_expr *a, zn_expr *b);
static zn_decl *declare(zn_parse *p, zn_decl_kind kind, const zn_lexeme *name, zn_loc at);
static void section(zn_parse *p, zn_section_kind k, zn_loc at, zn_section *s);
static void lose_terms(zn_parse *p, zn_body *b, zn_loc at);
static void lose_entries(zn_parse *p, zn_section *s);
static void doubt_item(zn_parse *p);
static bool is_empty(const zn_file *f);
static zn_entry *rules_entry(zn_parse *p, const char *key, zn_loc at, zn_rules rules);
static void check_depth(zn_parse *p, const zn_args *args, zn_expr *e, zn_loc at);
}

%define api.pure full
%define api.prefix {zn_yy}
%define parse.error custom
%define parse.lac full
%locations
%define api.location.type {zn_loc}
%param {struct zn_parse *p}
%expect 0

%union {
    zn_lexeme tok;
    zn_expr *expr;
    zn_arg *arg;
    zn_args args;
    zn_term *term;
    zn_body *body;
    zn_formal *formal;
    struct { zn_formal *first, *last; size_t n; } formals;
    zn_rules rules;
    zn_entry *entry;
    zn_section *section;
    bool flag;
}
%token YYEOF 0 "the end of the file"
%token RESUME "the next line"
%token START_FILE "start of a file" START_EXPR "start of an option"
%token <tok> NAME "a name" INT "an integer" FLOAT "a float" STRING "a string" SEGMENT "a selector"
%token <tok> K_ZNET "`znet`" K_IMPORT "`import`" K_PARAM "`param`" K_LET "`let`" K_BLOCK "`block`" K_MODEL "`model`"
%token <tok> K_DATA "`data`" K_INIT "`init`" K_TRAIN "`train`" K_DECAY "`decay`" K_INPUT "`input`"
%token <tok> K_RESIDUAL "`residual`" K_SHORTCUT "`shortcut`" K_REPEAT "`repeat`" K_FOR "`for`" K_IN "`in`" K_IF "`if`"
%token <tok> K_ELSE "`else`" K_AS "`as`" K_FROM "`from`" K_TRUE "`true`" K_FALSE "`false`"
%token OR "`||`" AND "`&&`" EQ "`==`" NE "`!=`" LE "`<=`" GE "`>=`" STARSTAR "`**`"
%token '<' "`<`" '>' "`>`" '+' "`+`" '-' "`-`" '*' "`*`" '/' "`/`" '%' "`%`" '!' "`!`" '?' "`?`" ':' "`:`" '=' "`=`"
%token ',' "`,`" '(' "`(`" ')' "`)`" '{' "`{`" '}' "`}`" '[' "`[`" ']' "`]`"

%type <tok> word key selector head
%type <rules> rules
%type <expr> expr or and equality relation sum product unary postfix primary opt_default
%type <arg> arg
%type <args> args arg_list opt_args list elements
%type <term> term simple opt_else
%type <body> body terms lost_terms closed_terms
%type <formal> formal
%type <formals> formals formal_list opt_formals
%type <entry> entry
%type <section> entries closed_entries

%%
start: START_FILE file
     | START_EXPR expr              { p->expr = $2; }
     ;

file: %empty
    | file item                     { yyerrok; }
    | file error                    {
            /* the token in the way goes, or it would be met again for ever */
            if (!zn_parse_can_resume(p)) yyclearin;
            if (@2.off == p->wrong) doubt_item(p);
            yyerrok;
        }
    ;

item: K_ZNET INT                    {
            if (!is_empty(p->file))
                zn_parse_error(p, ZN_DIAG_SYNTAX, @1, "the version must be the first thing in the file");
            else
                p->file->version = leaf(p, ZN_E_INT, @2, &$2);
        }
    | K_IMPORT STRING               /* read before: zn_frontend_imports */
    | K_PARAM NAME '=' expr         { zn_decl *d = declare(p, ZN_DECL_PARAM, &$2, @2); d->value = $4; }
    | K_LET NAME '=' expr           { zn_decl *d = declare(p, ZN_DECL_LET, &$2, @2); d->value = $4; }
    | K_BLOCK NAME opt_formals body {
            zn_decl *d = declare(p, ZN_DECL_BLOCK, &$2, @2);
            d->formals = $3.first;
            d->nformal = $3.n;
            d->body = $4;
            p->ended = $4;
            p->ended_off = @1.off;
        }
    | K_MODEL NAME '{' K_INPUT NAME list closed_terms {
            zn_model *m = zn_new(p->arena, zn_model);
            m->name = $2.s;
            m->input = $5.s;
            m->at = SPAN(@1);
            m->name_at = SPAN(@2);
            zn_loc in = @4;
            in.at.len = @6.off + @6.at.len - @4.off;
            m->input_at = SPAN(in);
            m->dims = $6;
            m->body = $7;
            p->ended = $7;
            p->ended_off = @1.off;
            if (p->file->model) {
                zn_diag *x = zn_parse_error(p, ZN_DIAG_SECTION_TWICE, @1, "this is the second model; a file has one");
                zn_diag_note(p->d, x, ZN_NOTE_LABEL, p->file->model->at, "the first is here");
            } else {
                p->file->model = m;
            }
        }
    | K_MODEL NAME '{' error '}'    { yyerrok; }
    | K_MODEL NAME '{' error RESUME closed_terms {
            yyerrok;
            if (!p->file->model) {
                p->file->model = zn_new(p->arena, zn_model);
                *p->file->model = (zn_model){.name = $2.s, .input = "", .at = SPAN(@1), .name_at = SPAN(@2),
                                             .input_at = SPAN(@4), .body = $6, .damaged = true};
                p->ended = $6;
                p->ended_off = @1.off;
            }
        }
    | K_DATA '{' closed_entries     { section(p, ZN_SECTION_DATA, @1, $3); }
    | K_TRAIN '{' closed_entries    { section(p, ZN_SECTION_TRAIN, @1, $3); }
    | K_INIT expr                   {
            zn_section *s = zn_new(p->arena, zn_section);
            s->first = s->last = zn_new(p->arena, zn_entry);
            s->first->key = "init";
            s->first->at = SPAN(@1);
            s->first->value = $2;
            section(p, ZN_SECTION_INIT, @1, s);
        }
    | K_INIT '{' rules '}'          {
            zn_section *s = zn_new(p->arena, zn_section);
            s->first = s->last = rules_entry(p, "init", @1, $3);
            section(p, ZN_SECTION_INIT, @1, s);
        }
    | K_INIT '{' error '}'          { yyerrok; }
    ;

/* ---- declarations ---- */
opt_formals: %empty                 { $$.first = $$.last = NULL; $$.n = 0; }
    | '(' formals ')'               { $$ = $2; }
    ;
formals: %empty                     { $$.first = $$.last = NULL; $$.n = 0; }
    | formal_list
    | formal_list ','
    ;
formal_list: formal                 { $$.first = $$.last = $1; $$.n = 1; }
    | formal_list ',' formal        { $$ = $1; $$.last->next = $3; $$.last = $3; $$.n++; }
    ;
formal: NAME opt_default            { $$ = zn_new(p->arena, zn_formal); $$->name = $1.s; $$->at = SPAN(@1);
                                      $$->value = $2; }
    ;
opt_default: %empty                 { $$ = NULL; }
    | '=' expr                      { $$ = $2; }
    ;

/* ---- bodies ---- */
body: '{' closed_terms              { $$ = $2; $$->at = SPAN(@1); }
    ;
closed_terms: terms '}'             { $$ = $1; if (@2.at.len == 0) lose_terms(p, $$, @2); }
    | terms error '}'               { $$ = $1; lose_terms(p, $$, @2); yyerrok; }
    | error '}'                     { $$ = zn_new(p->arena, zn_body); lose_terms(p, $$, @1); yyerrok; }
    ;
terms: term                         { $$ = zn_new(p->arena, zn_body); $$->first = $$->last = $1; }
    | terms term                    { $$ = $1; $$->last->next = $2; $$->last = $2; }
    | terms lost_terms              {
            $$ = $1;
            lose_terms(p, $$, @2);
            $$->last->next = $2->first;
            $$->last = $2->last;
        }
    | lost_terms                    { $$ = zn_new(p->arena, zn_body); lose_terms(p, $$, @1);
                                      $$->last->next = $1->first; $$->last = $1->last; }
    ;
lost_terms: error RESUME term       { $$ = zn_new(p->arena, zn_body); $$->first = $$->last = $3; yyerrok; }
    ;
term: simple
    | NAME ':' simple               { $$ = $3; $$->label = $1.s; $$->label_at = SPAN(@1); }
    | simple K_AS NAME              { $$ = $1; $$->as = $3.s; $$->as_at = SPAN(@3); }
    | NAME ':' simple K_AS NAME     {
            $$ = $3;
            $$->label = $1.s;
            $$->label_at = SPAN(@1);
            $$->as = $5.s;
            $$->as_at = SPAN(@5);
        }
    ;
simple: NAME opt_args               {
            zn_loc at = @1;
            if ($2.first || @2.at.len) at.at.len = @2.off + @2.at.len - @1.off;
            $$ = zn_term_new(p->arena, ZN_TERM_CALL, SPAN(at), SPAN(@1));
            $$->name = $1.s;
            $$->args = $2;
        }
    | K_RESIDUAL opt_args body      {
            $$ = zn_term_new(p->arena, ZN_TERM_RESIDUAL, SPAN(@1), SPAN(@1));
            $$->args = $2;
            $$->body = $3;
        }
    | K_RESIDUAL opt_args body K_SHORTCUT body {
            $$ = zn_term_new(p->arena, ZN_TERM_RESIDUAL, SPAN(@1), SPAN(@1));
            $$->args = $2;
            $$->body = $3;
            $$->other = $5;
            $$->other_at = SPAN(@4);
        }
    | K_REPEAT expr body            {
            $$ = zn_term_new(p->arena, ZN_TERM_REPEAT, SPAN(@1), SPAN(@1));
            $$->value = $2;
            $$->body = $3;
        }
    | K_REPEAT expr K_AS NAME body  {
            $$ = zn_term_new(p->arena, ZN_TERM_REPEAT, SPAN(@1), SPAN(@1));
            $$->value = $2;
            $$->name = $4.s;
            $$->var_at = SPAN(@4);
            $$->body = $5;
        }
    | K_FOR NAME K_IN expr body     {
            $$ = zn_term_new(p->arena, ZN_TERM_FOR, SPAN(@1), SPAN(@1));
            $$->value = $4;
            $$->name = $2.s;
            $$->var_at = SPAN(@2);
            $$->body = $5;
        }
    | K_IF '(' expr ')' body opt_else {
            $$ = zn_term_new(p->arena, ZN_TERM_IF, SPAN(@1), SPAN(@1));
            $$->value = $3;
            $$->body = $5;
            if ($6) { $$->other = $6->body; $$->other_at = $6->at; }
        }
    | K_FROM NAME                   {
            $$ = zn_term_new(p->arena, ZN_TERM_FROM, SPAN(@$), SPAN(@1));
            $$->name = $2.s;
        }
    ;
/* A holder for the body of else; `else if` is an else with one term. */
opt_else: %empty                    { $$ = NULL; }
    | K_ELSE body                   { $$ = zn_term_new(p->arena, ZN_TERM_IF, SPAN(@1), SPAN(@1)); $$->body = $2; }
    | K_ELSE K_IF '(' expr ')' body opt_else {
            zn_term *t = zn_term_new(p->arena, ZN_TERM_IF, SPAN(@2), SPAN(@2));
            t->value = $4;
            t->body = $6;
            if ($7) { t->other = $7->body; t->other_at = $7->at; }
            $$ = zn_term_new(p->arena, ZN_TERM_IF, SPAN(@1), SPAN(@1));
            $$->body = zn_new(p->arena, zn_body);
            $$->body->first = $$->body->last = t;
        }
    ;

/* ---- sections ---- */
closed_entries: entries '}'         { $$ = $1; if (@2.at.len == 0) $$->damaged = true; }
    | entries error '}'             { $$ = $1; lose_entries(p, $$); yyerrok; }
    ;
entries: %empty                     { $$ = zn_new(p->arena, zn_section); }
    | entries entry                 {
            $$ = $1;
            if ($$->last) $$->last->next = $2; else $$->first = $2;
            $$->last = $2;
        }
    | entries error RESUME entry    {
            $$ = $1;
            lose_entries(p, $$);
            if ($$->last) $$->last->next = $4; else $$->first = $4;
            $$->last = $4;
            yyerrok;
        }
    ;
entry: key '=' expr                 {
            $$ = zn_new(p->arena, zn_entry);
            $$->key = $1.s;
            $$->at = SPAN(@1);
            $$->value = $3;
        }
    | key '{' rules '}'             { $$ = rules_entry(p, $1.s, @1, $3); }
    | key '{' error '}'             { $$ = rules_entry(p, $1.s, @1, (zn_rules){0}); yyerrok; }
    ;
key: NAME | K_DECAY | K_SHORTCUT ;

rules: %empty                       { $$ = (zn_rules){0}; }
    | rules selector '=' expr       { $$ = $1; zn_rules_add(p->arena, &$$, $2.s, SPAN(@2), $4); }
    ;
selector: head
    | selector SEGMENT              { $$ = $1; $$.s = zn_arena_printf(p->arena, "%s.%s", $1.s, $2.s); }
    ;
head: NAME
    | NAME '*'                      { $$ = $1; $$.s = zn_arena_printf(p->arena, "%s*", $1.s); }
    | STARSTAR                      { $$ = (zn_lexeme){.s = "**"}; }
    ;

/* ---- expressions ---- */
expr: or
    | or '?' expr ':' expr          { $$ = node(p, ZN_E_COND, @$, $1, $3, $5); }
    ;
or: and | or OR and                 { $$ = binary(p, ZN_B_OR, @$, @2, $1, $3); } ;
and: equality | and AND equality    { $$ = binary(p, ZN_B_AND, @$, @2, $1, $3); } ;
equality: relation
    | equality EQ relation          { $$ = binary(p, ZN_B_EQ, @$, @2, $1, $3); }
    | equality NE relation          { $$ = binary(p, ZN_B_NE, @$, @2, $1, $3); }
    ;
relation: sum
    | relation '<' sum              { $$ = binary(p, ZN_B_LT, @$, @2, $1, $3); }
    | relation LE sum               { $$ = binary(p, ZN_B_LE, @$, @2, $1, $3); }
    | relation '>' sum              { $$ = binary(p, ZN_B_GT, @$, @2, $1, $3); }
    | relation GE sum               { $$ = binary(p, ZN_B_GE, @$, @2, $1, $3); }
    ;
sum: product
    | sum '+' product               { $$ = binary(p, ZN_B_ADD, @$, @2, $1, $3); }
    | sum '-' product               { $$ = binary(p, ZN_B_SUB, @$, @2, $1, $3); }
    ;
product: unary
    | product '*' unary             { $$ = binary(p, ZN_B_MUL, @$, @2, $1, $3); }
    | product '/' unary             { $$ = binary(p, ZN_B_DIV, @$, @2, $1, $3); }
    | product '%' unary             { $$ = binary(p, ZN_B_MOD, @$, @2, $1, $3); }
    ;
unary: postfix
    | '-' unary                     { $$ = node(p, ZN_E_NEG, @$, $2, NULL, NULL); }
    | '!' unary                     { $$ = node(p, ZN_E_NOT, @$, $2, NULL, NULL); }
    ;
postfix: primary
    | postfix '[' expr ']'          { $$ = node(p, ZN_E_INDEX, @$, $1, $3, NULL); }
    ;
primary: INT                        { $$ = leaf(p, ZN_E_INT, @1, &$1); }
    | FLOAT                         { $$ = leaf(p, ZN_E_FLOAT, @1, &$1); }
    | STRING                        { $$ = leaf(p, ZN_E_STR, @1, &$1); }
    | K_TRUE                        { $$ = leaf(p, ZN_E_BOOL, @1, &$1); $$->i = 1; }
    | K_FALSE                       { $$ = leaf(p, ZN_E_BOOL, @1, &$1); $$->i = 0; }
    | NAME                          { $$ = leaf(p, ZN_E_NAME, @1, &$1); }
    | NAME '(' args ')'             {
            $$ = leaf(p, ZN_E_CALL, @1, &$1);
            $$->at = SPAN(@$);
            $$->args = $3;
            check_depth(p, &$3, $$, @$);
        }
    | K_IN SEGMENT                  { $$ = leaf(p, ZN_E_IN, @$, &$2); }
    | list                          {
            $$ = node(p, ZN_E_LIST, @1, NULL, NULL, NULL);
            $$->args = $1;
            check_depth(p, &$1, $$, @1);
        }
    | '(' expr ')'                  { $$ = $2; }
    ;
list: '[' elements ']'              { $$ = $2; }
    | '[' elements ',' ']'          { $$ = $2; }
    | '[' ']'                       { $$ = (zn_args){0}; }
    ;
elements: expr                      { $$ = (zn_args){0}; zn_args_add(&$$, zn_arg_make(p->arena, NULL, SPAN(@1), $1)); }
    | elements ',' expr             { $$ = $1; zn_args_add(&$$, zn_arg_make(p->arena, NULL, SPAN(@3), $3)); }
    ;
opt_args: %empty                    { $$ = (zn_args){0}; }
    | '(' args ')'                  { $$ = $2; }
    ;
args: %empty                        { $$ = (zn_args){0}; }
    | arg_list
    | arg_list ','
    ;
arg_list: arg                       { $$ = (zn_args){0}; zn_args_add(&$$, $1); }
    | arg_list ',' arg              { $$ = $1; zn_args_add(&$$, $3); }
    ;
arg: expr                           { $$ = zn_arg_make(p->arena, NULL, SPAN(@1), $1); }
    | word '=' expr                 { $$ = zn_arg_make(p->arena, $1.s, SPAN(@1), $3); }
    ;
word: NAME | K_ZNET | K_IMPORT | K_PARAM | K_LET | K_BLOCK | K_MODEL | K_DATA | K_INIT | K_TRAIN | K_DECAY | K_INPUT
    | K_RESIDUAL | K_SHORTCUT | K_REPEAT | K_FOR | K_IN | K_IF | K_ELSE | K_AS | K_FROM | K_TRUE | K_FALSE
    ;
%%

static zn_expr *leaf(zn_parse *p, zn_expr_kind kind, zn_loc at, const zn_lexeme *v) {
    zn_expr *e = zn_expr_new(p->arena, v->bad ? ZN_E_BAD : kind, SPAN(at), NULL, NULL, NULL);
    e->name_at = e->at;
    e->s = v->s;
    e->i = v->i;
    e->f = v->f;
    return e;
}

/* Deep trees are walked by recursion later, so they end here. */
static void limit(zn_parse *p, zn_expr *e, zn_loc at) {
    if (e->depth != ZN_MAX_NESTING + 1) return;
    zn_parse_error(p, ZN_DIAG_NESTING, at, "this expression is nested more than %d levels deep", (int)ZN_MAX_NESTING);
    p->stop = p->quiet = true;
}

static zn_expr *node(zn_parse *p, zn_expr_kind kind, zn_loc at, zn_expr *a, zn_expr *b, zn_expr *c) {
    zn_expr *e = zn_expr_new(p->arena, kind, SPAN(at), a, b, c);
    limit(p, e, at);
    return e;
}

static zn_expr *binary(zn_parse *p, zn_bop op, zn_loc at, zn_loc op_at, zn_expr *a, zn_expr *b) {
    zn_expr *e = zn_expr_new(p->arena, ZN_E_BINARY, SPAN(at), a, b, NULL);
    e->op = op;
    e->name_at = SPAN(op_at);
    limit(p, e, at);
    return e;
}

static void check_depth(zn_parse *p, const zn_args *args, zn_expr *e, zn_loc at) {
    for (const zn_arg *x = args->first; x; x = x->next)
        if (x->value->depth >= e->depth) e->depth = x->value->depth + 1;
    limit(p, e, at);
}

static zn_entry *rules_entry(zn_parse *p, const char *key, zn_loc at, zn_rules rules) {
    zn_entry *e = zn_new(p->arena, zn_entry);
    e->key = key;
    e->at = SPAN(at);
    e->braces = true;
    e->rules = rules;
    return e;
}

static zn_decl *declare(zn_parse *p, zn_decl_kind kind, const zn_lexeme *name, zn_loc at) {
    zn_decl *d = zn_new(p->arena, zn_decl);
    d->kind = kind;
    d->name = name->s;
    d->at = SPAN(at);
    d->off = at.off;
    if (p->file->last_decl)
        p->file->last_decl->next = d;
    else
        p->file->decls = d;
    p->file->last_decl = d;
    return d;
}

/* In place of terms that could not be read: gives a value of which nothing is known. */
static void lose_terms(zn_parse *p, zn_body *b, zn_loc at) {
    zn_term *t = zn_term_new(p->arena, ZN_TERM_CALL, SPAN(at), SPAN(at));
    t->bad = true;
    /* layers in front of a syntax error, in its line, may be the beginning of something else */
    for (zn_term *x = b->first; x; x = x->next)
        if (x->kind == ZN_TERM_CALL && x->at.line == p->wrong_line && x->at.line) x->bad = true;
    if (b->last)
        b->last->next = t;
    else
        b->first = t;
    b->last = t;
}

static void lose_entries(zn_parse *p, zn_section *s) {
    s->damaged = true;
    if (s->last && s->last->value && s->last->at.line == p->wrong_line) s->last->value->kind = ZN_E_BAD;
}

/* A value that ends in front of a syntax error may be the beginning of another, a body may have ended too early. */
static void doubt_item(zn_parse *p) {
    zn_decl *d = p->file->last_decl;
    uint32_t before = p->wrong ? p->wrong - 1 : 0;
    if (!p->outline) return;
    const zn_item *item = zn_outline_item(p->outline, before);
    if (d && d->value && zn_outline_item(p->outline, d->off) == item) d->value->kind = ZN_E_BAD;
    if (p->ended && zn_outline_item(p->outline, p->ended_off) == item) lose_terms(p, p->ended, p->closed);
}

static bool is_empty(const zn_file *f) {
    return !f->version && !f->decls && !f->model && !f->section[0] && !f->section[1] && !f->section[2];
}

static void section(zn_parse *p, zn_section_kind k, zn_loc at, zn_section *s) {
    s->at = SPAN(at);
    if (p->file->section[k]) {
        zn_diag *x = zn_parse_error(p, ZN_DIAG_SECTION_TWICE, at, "this is the second `%s`; a file has at most one",
                                    zn_section_names[k]);
        zn_diag_note(p->d, x, ZN_NOTE_LABEL, p->file->section[k]->at, "the first is here");
        return;
    }
    p->file->section[k] = s;
}

/* ---- syntax errors ---- */

enum { MAX_EXPECTED = 64 };

static int find(const char *const *set, int n, const char *what) {
    for (int i = 0; i < n; i++)
        if (set[i] && !strcmp(set[i], what)) return i;
    return -1;
}

/* Removes what of `group` is in the set. */
static void drop(const char **set, int n, const char *const *group, size_t ngroup) {
    for (size_t i = 0; i < ngroup; i++) {
        int k = find(set, n, group[i]);
        if (k >= 0) set[k] = NULL;
    }
}
#define DROP(set, n, group) drop((set), (n), (group), sizeof(group) / sizeof *(group))

/* What may stand here, in the reader's words: groups of tokens are named, not listed. */
static void expected_text(const char **set, int n, zn_buf *out) {
    static const char *const operators[] = {"`||`", "`&&`", "`==`", "`!=`", "`<`", "`<=`", "`>`", "`>=`", "`+`", "`-`",
                                            "`*`", "`/`", "`%`", "`?`", "`[`"};
    static const char *const begin[] = {"an integer", "a float", "a string", "a name", "`true`", "`false`",
                                        "`in`", "`(`", "`[`", "`-`", "`!`"};
    static const char *const words[] = {"`znet`", "`import`", "`param`", "`let`", "`block`", "`model`", "`data`",
                                        "`init`", "`train`", "`decay`", "`input`", "`residual`", "`shortcut`",
                                        "`repeat`", "`for`", "`in`", "`if`", "`else`", "`as`", "`from`"};
    static const char *const sections[] = {"`znet`", "`import`", "`param`", "`let`", "`block`",
                                           "`model`", "`data`", "`init`", "`train`"};
    static const char *const terms[] = {"`residual`", "`repeat`", "`for`", "`if`", "`from`", "a name"};
    static const char *const keys[] = {"a name", "`decay`", "`shortcut`"};
    const char *said[4];
    int nsaid = 0;
    if (find(set, n, "an integer") >= 0 && find(set, n, "`(`") >= 0) {
        bool arg = find(set, n, "`znet`") >= 0;
        DROP(set, n, begin);
        if (arg) DROP(set, n, words);
        said[nsaid++] = arg ? "an argument" : "an expression";
    } else if (find(set, n, "`*`") >= 0 && find(set, n, "`+`") >= 0) {
        DROP(set, n, operators);
        said[nsaid++] = "an operator";
    }
    if (find(set, n, "`param`") >= 0) {
        DROP(set, n, sections);
        said[nsaid++] = "a declaration or section";
    } else if (find(set, n, "`residual`") >= 0) {
        DROP(set, n, terms);
        said[nsaid++] = "a layer";
    } else if (find(set, n, "`shortcut`") >= 0 && find(set, n, "a name") >= 0) {
        DROP(set, n, keys);
        said[nsaid++] = "a key";
    }
    int total = nsaid;
    for (int i = 0; i < n; i++) total += set[i] != NULL;
    int k = 0;
    for (int i = 0; i < n + nsaid; i++) {
        const char *x = i < n ? set[i] : said[i - n];
        if (!x) continue;
        k++;
        zn_buf_printf(out, "%s%s", k == 1 ? "" : k == total ? " or " : ", ", x);
    }
}

static int yyreport_syntax_error(const yypcontext_t *ctx, zn_parse *p) {
    yysymbol_kind_t kinds[MAX_EXPECTED];
    const char *set[MAX_EXPECTED];
    int n = yypcontext_expected_tokens(ctx, kinds, MAX_EXPECTED);
    for (int i = 0; i < n; i++) set[i] = yysymbol_name(kinds[i]);
    yysymbol_kind_t found = yypcontext_token(ctx);
    zn_buf b = {0};
    expected_text(set, n < 0 ? 0 : n, &b);
    zn_parse_syntax_error(p, *yypcontext_location(ctx), found == YYSYMBOL_YYEMPTY ? "" : yysymbol_name(found),
                          zn_buf_str(&b));
    zn_buf_free(&b);
    return 0;
}

/* Only for an exhausted stack: syntax errors have their own report. */
static void zn_yyerror(const zn_loc *loc, zn_parse *p, const char *msg) {
    (void)msg;
    if (!p->quiet) zn_parse_error(p, ZN_DIAG_NESTING, *loc, "this is nested too deeply");
    p->quiet = true;
}
