#include "worker/net/share.h"

/* A quarter more than the least loaded is as good as equal. */
bool
share_yields(unsigned mine, unsigned least)
{
	unsigned slack = least / 4 > 1 ? least / 4 : 1;

	return mine >= least && mine - least > slack;
}
