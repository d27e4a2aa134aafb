/* What both clients of the reference stacks share: the words that they say to
 * the benchmark, and the clock. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Payload that no compression makes smaller. */
static void fill(unsigned char *p, size_t n)
{
	uint32_t x = 2463534242u;
	for (size_t i = 0; i < n; i++) {
		x ^= x << 13; x ^= x >> 17; x ^= x << 5;
		p[i] = x;
	}
}

static void say(const char *word, long n, int64_t at)
{
	printf("%s %ld %lld\n", word, n, (long long)at);
	fflush(stdout);
}

/* The benchmark says when to begin. */
static void await_go(void)
{
	char line[16];
	if (!fgets(line, sizeof line, stdin))
		exit(1);
}
