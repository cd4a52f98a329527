// SPDX-License-Identifier: MIT
/*
 * fixdep DEPFILE TARGET COMMAND
 *
 * Prints, as a makefile, what an object was made of: the command, the source, the headers that the
 * compiler read, and one file include/config/SYMBOL for each CONFIG_SYMBOL that any of them mentions.
 * The object then does not depend on autoconf.h, which changes with every configuration.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **seen;
static size_t seen_count;

static int is_new(const char *word, size_t length)
{
	for (size_t i = 0; i < seen_count; i++)
		if (strlen(seen[i]) == length && !memcmp(seen[i], word, length))
			return 0;
	seen = realloc(seen, (seen_count + 1) * sizeof(*seen));
	seen[seen_count++] = strndup(word, length);
	return 1;
}

static char *contents(const char *path)
{
	size_t size = 0, got;
	char *text = malloc(65537);
	FILE *file = fopen(path, "r");

	if (!file) {
		perror(path);
		exit(2);
	}
	while ((got = fread(text + size, 1, 65536, file)) > 0) {
		size += got;
		text = realloc(text, size + 65537);
	}
	fclose(file);
	text[size] = '\0';
	return text;
}

static int is_name(int c)
{
	return isalnum(c) || c == '_';
}

static void print_symbols(const char *path)
{
	char *text = contents(path);

	for (char *at = text; (at = strstr(at, "CONFIG_")); ) {
		char *end = at += strlen("CONFIG_");

		if (at - 8 >= text && is_name((unsigned char)at[-8]))
			continue;
		while (is_name((unsigned char)*end))
			end++;
		if (end - at > 7 && !memcmp(end - 7, "_MODULE", 7))
			end -= 7;
		if (end > at && is_new(at, end - at))
			printf("    $(wildcard include/config/%.*s) \\\n", (int)(end - at), at);
	}
	free(text);
}

int main(int argc, char **argv)
{
	char *save, *word, *text;
	int first = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: fixdep DEPFILE TARGET COMMAND\n");
		return 1;
	}
	text = contents(argv[1]);
	printf("savedcmd_%s := %s\n\n", argv[2], argv[3]);
	word = strtok_r(text, " \t\n\\", &save);
	while ((word = strtok_r(NULL, " \t\n\\", &save))) {
		if (strstr(word, "include/generated/autoconf.h"))
			continue;
		if (first)
			printf("source_%s := %s\n\ndeps_%s := \\\n", argv[2], word, argv[2]);
		else
			printf("    %s \\\n", word);
		first = 0;
		print_symbols(word);
	}
	printf("\n%s: $(deps_%s)\n\n$(deps_%s):\n", argv[2], argv[2], argv[2]);
	return 0;
}
