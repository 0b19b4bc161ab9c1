/* SPDX-License-Identifier: MIT */
/*
 * Files that look like another: the same inode number on another file system, at the same descriptor number, or behind
 * a link that reads like a pool's. The library neither touches nor believes them.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "harness/harness.h"
#include "publish/world.h"

#define NR_FILES_MAX (4 << 20)

/* A tmpfs at path, in a mount namespace that goes with this process. */
static bool mount_own(const char *path)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mount("none", path, "tmpfs", 0, NULL);
}

/* A file of that inode number in the folder; -1: its file system has no such number to give. */
static int open_numbered(const char *folder, const char *name, ino_t inode)
{
	struct stat stat = { .st_ino = 0 };
	char path[256];
	int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (unsigned i = 0; i < NR_FILES_MAX && stat.st_ino < inode; i++) {
		close(fd);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || unlink(path) || fstat(fd, &stat))
			return -1;
	}
	if (stat.st_ino == inode)
		return fd;
	close(fd);
	return -1;
}

static char *new_folder(void)
{
	static char path[64];

	strcpy(path, "/tmp/percpu-identity-XXXXXX");
	return mkdtemp(path);
}

/*
 * The file of the same number as fd's, alone on a file system that nobody can reach by path any more: its link in /proc
 * reads as if it lay in the root.
 */
static int twin_of(int fd, const char *name)
{
	char *folder = new_folder();
	struct stat stat;
	int twin;

	if (!folder || fstat(fd, &stat))
		return -1;
	if (!mount_own(folder)) {
		rmdir(folder);
		return -1;
	}
	twin = open_numbered(folder, name, stat.st_ino);
	umount2(folder, MNT_DETACH);
	rmdir(folder);
	return twin;
}

/* Small numbers are taken on a fresh tmpfs before it gives any. */
static void use_up_small_numbers(void)
{
	struct stat stat = { .st_ino = 0 };

	for (unsigned i = 0; i < 4096 && stat.st_ino < 64; i++) {
		const int fd = memfd_create("small", MFD_CLOEXEC);

		if (fstat(fd, &stat))
			stat.st_ino = 64;
		close(fd);
	}
}

static const char *why_no_twins(void)
{
	const pid_t child = fork();
	int status;

	if (!child) {
		use_up_small_numbers();
		_exit(twin_of(memfd_create("any", MFD_CLOEXEC), "any") < 0);
	}
	return waitpid(child, &status, 0) == child && status == 0
		       ? NULL
		       : "no mount namespace here, or no tmpfs whose inodes are numbered like those of memfds";
}

/* Our descriptor of a memfd of that name. */
static int fd_of(const char *name)
{
	char path[64], link[256], wanted[128];

	snprintf(wanted, sizeof(wanted), "/memfd:percpu:%s (deleted)", name);
	for (int fd = 3; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		const ssize_t length = readlink(path, link, sizeof(link) - 1);

		if (length > 0 && (link[length] = '\0', !strcmp(link, wanted)))
			return fd;
	}
	ck_abort_msg("no descriptor of %s", wanted);
}

/* What a daemon does that closes everything, and then opens something. Returns: the number. */
static int replace_file_of(const char *name)
{
	const int fd = fd_of(name), twin = twin_of(fd, "twin");

	ck_assert_int_ge(twin, 0);
	ck_assert_int_eq(dup2(twin, fd), fd);
	close(twin);
	return fd;
}

START_TEST(a_file_of_the_programs_stays_open)
{
	struct percpu_pool *pool;
	int fd;

	SKIP_IF(why_no_twins());
	use_up_small_numbers();
	pool = published_pool("closed", 0);
	fd = replace_file_of("closed");
	ck_assert_int_eq(percpu_pool_destroy(pool), 0);
	ck_assert_int_eq(write(fd, "still ours", 10), 10);
}
END_TEST

START_TEST(memory_is_zero_whatever_another_file_says)
{
	struct percpu_pool *pool;
	uint64_t __percpu *p[512];

	SKIP_IF(why_no_twins());
	with_options("cpus:64"); /* so many that the file is asked which copies were touched */
	use_up_small_numbers();
	pool = published_pool("zero", 0);
	for (unsigned i = 0; i < 512; i++) {
		p[i] = word_in(pool);
		ck_assert_ptr_nonnull(percpu_ptr(p[i], 0));
		percpu_add(p[i], 41);
		*percpu_ptr(p[i], 63) = 1;
	}
	replace_file_of("zero");
	for (unsigned i = 0; i < 512; i++)
		percpu_free(p[i]);
	for (unsigned i = 0; i < 512; i++)
		ck_assert_uint_eq(percpu_sum(word_in(pool)), 0);
}
END_TEST

static int count(const struct percpu_publisher *publisher, void *arg)
{
	++*(int *)arg;
	return 0;
}

static int nr_published(void)
{
	int nr = 0;

	ck_assert_int_eq(percpu_publishers(getpid(), count, &nr), 0);
	return nr;
}

START_TEST(a_file_with_the_link_of_a_pool_is_none)
{
	char path[64], link[256] = "";
	int twin;

	SKIP_IF(why_no_twins());
	use_up_small_numbers();
	ck_assert_ptr_nonnull(published_pool("real", 0));
	ck_assert_int_eq(nr_published(), 1);
	twin = twin_of(fd_of("real"), "memfd:percpu:real");
	ck_assert_int_ge(twin, 0);
	ck_assert_int_eq(ftruncate(twin, 1 << 20), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", twin);
	ck_assert_int_gt(readlink(path, link, sizeof(link) - 1), 0);
	ck_assert_str_eq(link, "/memfd:percpu:real (deleted)");

	ck_assert_int_eq(nr_published(), 1);
	ck_assert_ptr_null(percpu_reader_open(getpid(), twin));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(a_file_of_huge_pages_is_no_pool)
{
	const int fd = memfd_create("percpu:huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	ck_assert(fd >= 0 || errno == ENOSYS || errno == EINVAL || errno == ENODEV);
	ck_assert_int_eq(nr_published(), 0);
	ck_assert_ptr_null(percpu_reader_open(getpid(), fd));
	ck_assert(errno == (fd < 0 ? ENOENT : EINVAL));
}
END_TEST

/* ---- descriptors of a reader ---- */

#define NR_FDS 64

static void look(bool *is_open)
{
	for (int fd = 0; fd < NR_FDS; fd++)
		is_open[fd] = fcntl(fd, F_GETFD) >= 0;
}

START_TEST(a_reader_whose_files_were_closed_says_so)
{
	bool before[NR_FDS], with[NR_FDS];
	struct percpu_reader *reader;
	int nr = 0, null;

	ck_assert_ptr_nonnull(publish_as(word_in(published_pool("read", 0)), PERCPU_METRIC_COUNTER, "n"));
	look(before);
	reader = reader_of(getpid());
	look(with);
	ck_assert_int_eq(percpu_reader_update(reader), 0);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < NR_FDS; fd++)
		if (with[fd] && !before[fd]) {
			ck_assert_int_eq(dup2(null, fd), fd);
			nr++;
		}
	ck_assert_int_ge(nr, 1);
	ck_assert_int_eq(percpu_reader_update(reader), -EBADF);
	ck_assert_uint_eq(percpu_reader_nr(reader), 0);
	percpu_reader_close(reader);
	for (int fd = 0; fd < NR_FDS; fd++)
		ck_assert(!with[fd] || fcntl(fd, F_GETFD) >= 0);
}
END_TEST

START_TEST(a_reader_leaves_no_descriptor)
{
	bool before[NR_FDS], after[NR_FDS];

	ck_assert_ptr_nonnull(published_pool("left", 0));
	percpu_reader_close(reader_of(getpid())); /* whatever the library keeps for good */
	look(before);
	for (unsigned i = 0; i < 100; i++) {
		struct percpu_reader *reader = reader_of(getpid());

		ck_assert_ptr_nonnull(reader);
		percpu_reader_close(reader);
		ck_assert_ptr_null(percpu_reader_open(getpid(), 0));
	}
	look(after);
	ck_assert_int_eq(memcmp(before, after, sizeof(before)), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_file_of_the_programs_stays_open,
		memory_is_zero_whatever_another_file_says,
		a_file_with_the_link_of_a_pool_is_none,
		a_file_of_huge_pages_is_no_pool,
		a_reader_whose_files_were_closed_says_so,
		a_reader_leaves_no_descriptor,
		NULL,
	};

	return run_suite(suite_of("identity", tests, 120));
}
