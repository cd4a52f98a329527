// SPDX-License-Identifier: MIT
/*
 * What Kconfig's macros ask the tools, asked once.
 *
 * Whenever conf reads the tree's Kconfig, it runs the hundred commands of the macros there ($(shell …),
 * $(cc-option …)), before it looks at any configuration. Preloaded into make, this does nothing but in conf:
 * there it answers the commands that .conf-answers holds, and adds those that it does not hold. One that
 * prints to stderr, such as a warning, is not added: it prints that each time.
 *
 * A record is "STATUS BYTES BYTES\n", then the command, then its output. The rest of a file behind anything
 * else holds nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWERS ".conf-answers"
#define OUTPUT_BYTES 8192	/* conf reads the first 4096 */
#define ANSWERS_BYTES (4 << 20)

static int is_conf;
static char *known;
static size_t known_size;

/* conf has one command open at a time. */
static FILE *answered;
static int answered_status;

static FILE *run_popen(const char *command, const char *mode)
{
	FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, "popen");

	return next(command, mode);
}

static int run_pclose(FILE *stream)
{
	int (*next)(FILE *) = dlsym(RTLD_NEXT, "pclose");

	return next(stream);
}

static void read_answers(void)
{
	struct stat status;
	int file = open(ANSWERS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (file < 0)
		return;
	if (!fstat(file, &status) && S_ISREG(status.st_mode) && status.st_size < ANSWERS_BYTES) {
		known = calloc(1, status.st_size + 1); /* a NUL ends the last number */
		if (known && read(file, known, status.st_size) == status.st_size)
			known_size = status.st_size;
	}
	close(file);
}

__attribute__((constructor)) static void start(void)
{
	int probe;

	if (strcmp(program_invocation_short_name, "conf"))
		return;
	/* What the macros run is to see the environment of any other conf. */
	unsetenv("LD_PRELOAD");
	probe = memfd_create("probe", MFD_CLOEXEC);
	if (probe < 0)
		return;
	close(probe);
	is_conf = 1;
	read_answers();
}

static const char *find_answer(const char *command, int *status, size_t *size)
{
	size_t length = strlen(command), command_size, left = known_size;
	char *at = known;

	while (left) {
		*status = strtol(at, &at, 10);
		command_size = strtoul(at, &at, 10);
		*size = strtoul(at, &at, 10);
		if (*at++ != '\n')
			break;
		left = known + known_size - at;
		if (command_size > left || *size > left - command_size)
			break;
		if (command_size == length && !memcmp(at, command, length))
			return at + length;
		at += command_size + *size;
		left -= command_size + *size;
	}
	return NULL;
}

static void add_answer(const char *command, int status, const char *output, size_t size)
{
	FILE *file = fopen(ANSWERS, "ae");

	if (!file)
		return;
	fprintf(file, "%d %zu %zu\n%s", status, strlen(command), size, command);
	fwrite(output, 1, size, file);
	fclose(file);
}

/* Let conf's stderr have what a command printed there; whether that was anything. */
static int pass_complaints(int complaints)
{
	char block[4096];
	ssize_t size;
	int has_any = 0;

	lseek(complaints, 0, SEEK_SET);
	while ((size = read(complaints, block, sizeof(block))) > 0) {
		has_any = 1;
		if (write(2, block, size) != size)
			break;
	}
	return has_any;
}

/* Run a command to its end; the size of its output. */
static size_t run_command(const char *command, char *output, int *status)
{
	int complaints = memfd_create("complaints", MFD_CLOEXEC), own = fcntl(2, F_DUPFD_CLOEXEC, 3);
	size_t size = 0;
	FILE *stream;

	fflush(NULL);
	dup2(complaints, 2);
	stream = run_popen(command, "r");
	dup2(own, 2);
	close(own);
	*status = -1;
	if (stream) {
		size = fread(output, 1, OUTPUT_BYTES, stream);
		*status = run_pclose(stream);
	}
	if (!pass_complaints(complaints) && *status != -1)
		add_answer(command, *status, output, size);
	close(complaints);
	return size;
}

static FILE *open_text(const char *text, size_t size)
{
	int file = memfd_create("answer", MFD_CLOEXEC);

	if (file < 0)
		return NULL;
	if (write(file, text, size) != (ssize_t)size || lseek(file, 0, SEEK_SET)) {
		close(file);
		return NULL;
	}
	return fdopen(file, "r");
}

FILE *popen(const char *command, const char *mode)
{
	char output[OUTPUT_BYTES];
	const char *text;
	size_t size;

	if (!is_conf || answered || strcmp(mode, "r"))
		return run_popen(command, mode);
	text = find_answer(command, &answered_status, &size);
	if (!text) {
		size = run_command(command, output, &answered_status);
		text = output;
	}
	return answered = open_text(text, size);
}

int pclose(FILE *stream)
{
	if (!stream || stream != answered)
		return run_pclose(stream);
	fclose(answered);
	answered = NULL;
	return answered_status;
}
