// SPDX-License-Identifier: MIT
/*
 * Many configurations by one start of conf.
 *
 * Preloaded into `make olddefconfig`, this does nothing but in conf, and there only at one moment: when conf
 * has read the tree's Kconfig, with all that its macros ask of the compiler, and opens .config. For each of
 * .configure-0, .configure-1 … conf then forks, and the fork goes on with that file as its .config; what it
 * makes of it becomes .configured-N, what it prints .configured-N.out, after what conf had printed until then
 * (.configured.out). conf itself then goes on as if nothing had been: its exit code is its own.
 *
 * A fork that fails leaves no .configured-N. Nothing waits for one for longer than FORK_SECONDS.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORK_SECONDS 60
#define FILE_BYTES (16 << 20)
#define KEPT ".configure-own"
#define EARLY_OUTPUT ".configured.out"

static int is_waiting;
static int own_stdout, own_stderr;

static void redirect_output(const char *path)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);

	if (file < 0)
		_exit(1);
	dup2(file, 1);
	dup2(file, 2);
	close(file);
}

__attribute__((constructor)) static void start(void)
{
	if (strcmp(program_invocation_short_name, "conf") || access(".configure-0", R_OK))
		return;
	/* What conf's macros run is to see the environment of any other conf. */
	unsetenv("LD_PRELOAD");
	own_stdout = fcntl(1, F_DUPFD_CLOEXEC, 3);
	own_stderr = fcntl(2, F_DUPFD_CLOEXEC, 3);
	redirect_output(EARLY_OUTPUT);
	is_waiting = 1;
}

static void restore_output(void)
{
	char block[4096];
	ssize_t size;
	int file = open(EARLY_OUTPUT, O_RDONLY | O_CLOEXEC);

	dup2(own_stdout, 1);
	dup2(own_stderr, 2);
	while ((size = read(file, block, sizeof(block))) > 0)
		if (write(1, block, size) != size)
			_exit(1);
	close(file);
}

static void become_fork(int number)
{
	char output[64];
	struct rlimit bytes = { FILE_BYTES, FILE_BYTES };

	snprintf(output, sizeof(output), ".configured-%d.out", number);
	redirect_output(output);
	setrlimit(RLIMIT_FSIZE, &bytes);
	alarm(FORK_SECONDS);
}

/* Returns in conf itself, and in every fork. */
static void fork_for_each(const char *config)
{
	char request[64], made[64];
	int number, status;
	pid_t pid;

	fflush(NULL);
	rename(config, KEPT);
	for (number = 0;; number++) {
		snprintf(request, sizeof(request), ".configure-%d", number);
		snprintf(made, sizeof(made), ".configured-%d", number);
		if (rename(request, config))
			break;
		pid = fork();
		if (pid == 0) {
			become_fork(number);
			return;
		}
		if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
			rename(config, made);
	}
	rename(KEPT, config);
	restore_output();
}

static FILE *open_file(const char *function, const char *path, const char *mode)
{
	FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, function);
	const char *config = getenv("KCONFIG_CONFIG");

	if (!config)
		config = ".config";
	if (is_waiting && *mode == 'r' && !strcmp(path, config)) {
		is_waiting = 0;
		fork_for_each(config);
	}
	return next(path, mode);
}

FILE *fopen(const char *path, const char *mode)
{
	return open_file("fopen", path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
	return open_file("fopen64", path, mode);
}
