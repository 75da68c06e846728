#include "conf/settings.h"
#include "worker/app.h"
#include "worker/http/field.h"

/* /shop covers /shop and /shop/cart, not /shopping. */
static bool
mount_covers(struct str mount, struct str path)
{
	return mount.n <= path.n && memcmp(path.p, mount.p, mount.n) == 0 &&
	    (mount.n == path.n || path.p[mount.n] == '/' || mount.n == 0);
}

struct pf_app *
apps_route(const struct apps *apps, struct str path, struct str host)
{
	struct pf_app *best = NULL;
	size_t best_rank = 0;

	for (size_t i = 0; i < apps->n; i++) {
		const struct app_settings *s = apps->at[i].settings;
		struct str mount = { s->mount, strlen(s->mount) };
		struct str own = { s->host, strlen(s->host) };
		size_t rank = 1 + 2 * mount.n + (own.n > 0);

		if (rank > best_rank && mount_covers(mount, path) &&
		    (own.n == 0 || field_name_eq(own, host))) {
			best = &apps->at[i];
			best_rank = rank;
		}
	}
	return best;
}
