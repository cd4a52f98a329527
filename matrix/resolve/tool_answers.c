// SPDX-License-Identifier: MIT
/*
 * What a make asks of its tools, asked once.
 *
 * Whenever conf reads the tree's Kconfig, it runs the hundred commands of the macros there ($(shell …),
 * $(cc-option …)), before it looks at any configuration. Whenever make reads the tree's Makefiles, it compiles
 * nothing some fifty times, to see which options the compiler takes (try-run in scripts/Makefile.compiler).
 * Preloaded into make, this answers those commands in conf and in make that .tool-answers holds, and adds those
 * that it does not hold. In all other programs it does nothing.
 *
 * Not added is what may be answered otherwise the next time: a command of conf's that prints to stderr, such as
 * a warning, which it has to print each time; and one of make's that takes a plugin or another file, which may
 * not be built yet.
 *
 * A record is "STATUS BYTES BYTES\n", then the command, then its output. The rest of a file behind anything
 * else holds nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWERS "/build/.tool-answers"
#define OUTPUT_BYTES 4096	/* as many as conf reads */
#define ANSWERS_BYTES (4 << 20)

static int is_conf, is_make;
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

/* A file without a name, or -1. */
static int open_nameless(void)
{
	return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int can_open_nameless(void)
{
	int file = open_nameless();

	if (file >= 0)
		close(file);
	return file >= 0;
}

__attribute__((constructor)) static void start(void)
{
	is_make = !strcmp(program_invocation_short_name, "make");
	is_conf = !strcmp(program_invocation_short_name, "conf") && can_open_nameless();
	if (is_conf)
		/* What the macros run is to see the environment of any other conf. */
		unsetenv("LD_PRELOAD");
}

/* Read the file again if it has grown: makes below this one add to it. */
static void read_answers(void)
{
	struct stat status;
	int file = open(ANSWERS, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (file < 0)
		return;
	if (!fstat(file, &status) && S_ISREG(status.st_mode) && status.st_size < ANSWERS_BYTES &&
	    (size_t)status.st_size != known_size) {
		free(known);
		known_size = 0;
		known = calloc(1, status.st_size + 1); /* a NUL ends the last number */
		if (known && read(file, known, status.st_size) == status.st_size)
			known_size = status.st_size;
	}
	close(file);
}

static const char *search_answers(const char *command, int *status, size_t *size)
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

static const char *find_answer(const char *command, int *status, size_t *size)
{
	const char *answer = search_answers(command, status, size);

	if (!answer) {
		read_answers();
		answer = search_answers(command, status, size);
	}
	return answer;
}

static void add_answer(const char *command, int status, const char *output, size_t size)
{
	int descriptor = open(ANSWERS, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "a");

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

/* Run a command of conf's to its end; the size of its output. */
static size_t run_command(const char *command, char *output, int *status)
{
	int complaints = open_nameless(), own = fcntl(2, F_DUPFD_CLOEXEC, 3);
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
	int file = open_nameless();

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

/* Whether this is kbuild's try-run on nothing: what it prints follows from its text and the tools. */
static int is_try_run(const char *command)
{
	return !strncmp(command, "set -e;", 7) && strstr(command, "TMP=") && strstr(command, "trap \"rm -rf ") &&
	       strstr(command, ">/dev/null 2>&1;") && strstr(command, "then echo \"") &&
	       !strstr(command, "-fplugin") && !strstr(command, "-include") && !strchr(command, '@');
}

/* Runs the command "$1", and adds its record to the file "$2" by one write. */
#define RECORD                                                                                              \
	"output=$(sh -c \"$1\") || exit; printf '%s\\n' \"$output\"; "                                       \
	"[ -h \"$2\" ] || [ ! -w \"$2\" ] || [ ! -f \"$2\" ] || "                                            \
	"printf '0 %d %d\\n%s%s\\n' ${#1} $((${#output} + 1)) \"$1\" \"$output\" >>\"$2\""

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	int (*next)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
		    char *const[], char *const[]) = dlsym(RTLD_NEXT, "posix_spawn");
	const char *answer;
	char text[OUTPUT_BYTES];
	size_t size;
	int status;

	if (!is_make || !argv[0] || !argv[1] || strcmp(argv[1], "-c") || !argv[2] || argv[3] || !is_try_run(argv[2]))
		return next(pid, path, actions, attributes, argv, envp);
	answer = find_answer(argv[2], &status, &size);
	if (answer && size < sizeof(text)) {
		/* By make's own shell: nothing else is in every image. */
		char *words[] = { argv[0], argv[1], "printf %s \"$1\"", "sh", text, NULL };

		memcpy(text, answer, size);
		text[size] = 0;
		return next(pid, path, actions, attributes, words, envp);
	}
	char *words[] = { argv[0], argv[1], RECORD, "sh", argv[2], ANSWERS, NULL };

	return next(pid, path, actions, attributes, words, envp);
}
