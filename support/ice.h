/* Broken invariants of znet itself: never for a user's mistake. Prints the stage and asks for a report, exits with 70.
 */
#ifndef ZN_SUPPORT_ICE_H
#define ZN_SUPPORT_ICE_H

_Noreturn void zn_ice(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Named in the message: "parse", "pass fuse", ... A string that lives on. */
void zn_ice_stage(const char *stage);

#define ZN_ICE(...) zn_ice(__FILE__, __LINE__, __VA_ARGS__)
#define ZN_ASSERT(cond) ((cond) ? (void)0 : zn_ice(__FILE__, __LINE__, "assertion failed: %s", #cond))

#endif
