#include "worker/net/share.h"

/* An eighth more than the least loaded is as good as equal. */
bool
share_yields(unsigned mine, unsigned least)
{
	unsigned slack = least / 8 > 1 ? least / 8 : 1;

	return mine >= least && mine - least > slack;
}
