/*
 * badabi: speaks an ABI that no prefork has; loading it must fail, with both
 * numbers in the reason.
 */
#include <prefork/module.h>

static void
badabi_request(void *app, pf_request *req, void *thread)
{
	(void)app;
	(void)req;
	(void)thread;
}

__attribute__((visibility("default"))) extern const pf_module prefork_module;

const pf_module prefork_module = {
	.abi = PREFORK_ABI + 1000,
	.size = sizeof(pf_module),
	.name = "badabi",
	.on_request = badabi_request,
};
