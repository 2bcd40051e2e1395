/* Makes one process's disk and clock misbehave on demand. Loaded into it by LD_PRELOAD.
 *
 * CORAL_FAULTS names a file of sizeof(struct control) bytes that is mapped and read at each call; whoever writes it decides what
 * happens. Only what lies below the folder CORAL_FAULTS_ROOT is refused, but for what the process itself logs there and Home
 * Assistant's recorder (names with "home-assistant" or "console.log").
 *
 * disk 1, full: files are created, renamed and removed as ever; of what is written only ``room`` more bytes are taken, then ENOSPC, in the
 *         middle of a file too; folders aren't made once there is no room.
 * disk 2, read-only: whatever would change something fails with EROFS.
 * disk 3, failing: fsync and fdatasync fail with EIO, all else works.
 * clock: nanoseconds added to what the process is told of the time of day (not to the monotonic clock, nor to the files' own times).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SOUND, FULL, READ_ONLY, FAILING };

struct control {
  _Atomic int64_t disk;
  _Atomic int64_t room;
  _Atomic int64_t clock;
  _Atomic int64_t refused;
};

static struct control none, *control = &none;
static char root[PATH_MAX];
static size_t root_length;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("CORAL_FAULTS"), *folder = getenv("CORAL_FAULTS_ROOT");
  if (!file || !folder || strlen(folder) >= sizeof root) return;
  int descriptor = REAL(open)(file, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (mapped == MAP_FAILED) return;
  strcpy(root, folder);
  root_length = strlen(root);
  control = mapped;
}

static int refuse(int error) {
  atomic_fetch_add(&control->refused, 1);
  errno = error;
  return -1;
}

static int is_below(const char *path) {
  if (!root_length || strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/')) return 0;
  return !strstr(path + root_length, "home-assistant") && !strstr(path + root_length, "console.log");
}

/* Whether a path lies where faults happen. */
static int hits_at(int folder, const char *path) {
  char whole[2 * PATH_MAX], link[64];
  if (path[0] == '/') return is_below(path);
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  ssize_t length = readlink(link, whole, PATH_MAX);
  if (length < 0) return 0;
  snprintf(whole + length, sizeof whole - (size_t)length, "/%s", path);
  return is_below(whole);
}

static int hits(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_below(path);
}

static int is(int64_t kind) { return atomic_load(&control->disk) == kind; }

/* How many of the bytes may be written; -1 for none, with errno. */
static ssize_t taken(int descriptor, size_t wanted) {
  if (is(SOUND) || is(FAILING) || !wanted || !hits(descriptor)) return (ssize_t)wanted;
  if (is(READ_ONLY)) return refuse(EROFS);
  int64_t room = atomic_load(&control->room), part;
  do {
    part = room < (int64_t)wanted ? room : (int64_t)wanted;
    if (part <= 0) return refuse(ENOSPC);
  } while (!atomic_compare_exchange_weak(&control->room, &room, room - part));
  return (ssize_t)part;
}

ssize_t write(int descriptor, const void *data, size_t size) {
  ssize_t part = taken(descriptor, size);
  return part < 0 ? -1 : REAL(write)(descriptor, data, (size_t)part);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
  ssize_t part = taken(descriptor, size);
  return part < 0 ? -1 : REAL(pwrite)(descriptor, data, (size_t)part, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  ssize_t part = taken(descriptor, size);
  return part < 0 ? -1 : REAL(pwrite64)(descriptor, data, (size_t)part, offset);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  if (is(SOUND) || is(FAILING) || count < 1) return REAL(writev)(descriptor, parts, count);
  /* A write may be short: only the first part is. */
  return write(descriptor, parts[0].iov_base, parts[0].iov_len);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *where, size_t size, unsigned flags) {
  ssize_t part = taken(to, size);
  return part < 0 ? -1 : REAL(copy_file_range)(from, at, to, where, (size_t)part, flags);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t size);
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
  ssize_t part = taken(to, size);
  return part < 0 ? -1 : REAL(sendfile64)(to, from, at, (size_t)part);
}

static int opened(const char *name, int folder, const char *path, int flags, mode_t mode) {
  int changes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
  if (is(READ_ONLY) && changes && hits_at(folder, path)) return refuse(EROFS);
  return ((int (*)(int, const char *, int, ...))real(name))(folder, path, flags, mode);
}

#define MODE(flags)                                       \
  mode_t mode = 0;                                        \
  if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
    va_list rest;                                         \
    va_start(rest, flags);                                \
    mode = va_arg(rest, mode_t);                          \
    va_end(rest);                                         \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return opened("openat", AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(flags)
  return opened("openat64", AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return opened("openat", folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return opened("openat64", folder, path, flags, mode);
}

static int no_change_at(int folder, const char *path) {
  return is(READ_ONLY) && hits_at(folder, path) ? refuse(EROFS) : 0;
}

static int no_folder_at(int folder, const char *path) {
  if (is(FULL) && atomic_load(&control->room) <= 0 && hits_at(folder, path)) return refuse(ENOSPC);
  return no_change_at(folder, path);
}

int mkdir(const char *path, mode_t mode) {
  return no_folder_at(AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
  return no_folder_at(folder, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}

int rename(const char *from, const char *to) {
  return no_change_at(AT_FDCWD, from) || no_change_at(AT_FDCWD, to) ? -1 : REAL(rename)(from, to);
}

int renameat(int folder, const char *from, int other, const char *to) {
  return no_change_at(folder, from) || no_change_at(other, to) ? -1 : REAL(renameat)(folder, from, other, to);
}

int unlink(const char *path) { return no_change_at(AT_FDCWD, path) ? -1 : REAL(unlink)(path); }

int unlinkat(int folder, const char *path, int flags) {
  return no_change_at(folder, path) ? -1 : REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) { return no_change_at(AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }

int link(const char *from, const char *to) { return no_change_at(AT_FDCWD, to) ? -1 : REAL(link)(from, to); }

int symlink(const char *from, const char *to) { return no_change_at(AT_FDCWD, to) ? -1 : REAL(symlink)(from, to); }

int ftruncate64(int descriptor, off64_t length) {
  return is(READ_ONLY) && hits(descriptor) ? refuse(EROFS) : REAL(ftruncate64)(descriptor, length);
}

int fsync(int descriptor) { return is(FAILING) && hits(descriptor) ? refuse(EIO) : REAL(fsync)(descriptor); }

int fdatasync(int descriptor) { return is(FAILING) && hits(descriptor) ? refuse(EIO) : REAL(fdatasync)(descriptor); }

/* The time of day. */

static const int64_t SECOND = 1000000000;

int clock_gettime(clockid_t which, struct timespec *now) {
  static __typeof__(&clock_gettime) next;
  if (!next) next = REAL(clock_gettime);
  int failed = next(which, now);
  int64_t jumped = atomic_load(&control->clock);
  if (!failed && jumped && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
    int64_t sum = now->tv_nsec + jumped % SECOND;
    now->tv_sec += jumped / SECOND + (sum >= SECOND) - (sum < 0);
    now->tv_nsec = sum - SECOND * ((sum >= SECOND) - (sum < 0));
  }
  return failed;
}

time_t time(time_t *where) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (where) *where = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}
