/* Header fields, RFC 9110 5: what a name and a value may hold.  Pure. */
#ifndef WORKER_HTTP_FIELD_H
#define WORKER_HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/str.h"

/* RFC 9110 5.6.2: tchar.  1 or 0 for each byte. */
extern const unsigned char field_tchar[256];
/* RFC 9110 5.5: VCHAR, obs-text, SP and HTAB.  1 or 0 for each byte. */
extern const unsigned char field_vchar[256];

bool field_name_ok(struct str);  /* a token, not empty */
bool field_value_ok(struct str); /* may be empty */

/* enum pf_header_id of a name in any case; PF_H_OTHER if it has none. */
uint16_t field_id(struct str name);

/* Does a proxy say with it whose request it passes on?  Forwarded,
 * X-Forwarded-*, X-Real-IP and X-Request-Id. */
bool field_is_forwarding(uint16_t id, struct str name);

/* Equal but for the case of ASCII letters. */
bool field_name_eq(struct str, struct str);

/* Below 2^31 - 1; the same for names that are equal but for case.  Two others
 * have the same for one seed in some millions, seed being below 2^31 - 1: as
 * long as nobody knows it, nobody can choose names that collide. */
uint32_t field_hash(struct str name, uint32_t seed);

/* Without the OWS (SP and HTAB) around it. */
struct str field_trim(struct str);

/* Is `token` a member of the comma-separated list `value` (any case)? */
bool field_has_token(struct str value, struct str token);

#endif
