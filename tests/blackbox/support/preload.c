/* Preloaded into a server under test. The file TEST_CLOCK holds seconds that its wall clock is
   ahead; the file TEST_SYNCS gets a `b` at the begin and an `e` at the end of every call that syncs
   a file, each of which takes until the file TEST_SYNC_UNTIL is there. While the file
   TEST_READ_ERROR is there, each read from the master of a pseudo-terminal fails with the errno that
   is in it, and the file TEST_FAILED_READS gets an `r`. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The number in the file that the environment variable names; 0 if there is no such file. */
static long number_in(const char *variable)
{
    int saved = errno;
    char text[32] = "";
    const char *path = getenv(variable);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (syscall(SYS_read, fd, text, sizeof text - 1) < 0)
            text[0] = 0;
        close(fd);
    }
    errno = saved;
    return atol(text);
}

/* Adds to the file that the environment variable names. */
static void mark(const char *variable, const char *what)
{
    const char *path = getenv(variable);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        if (write(fd, what, 1) < 0)
            abort();
        close(fd);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += number_in("TEST_CLOCK");
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}

ssize_t read(int file, void *bytes, size_t count)
{
    int saved = errno;
    unsigned int number;
    int error = ioctl(file, TIOCGPTN, &number) == 0 ? (int)number_in("TEST_READ_ERROR") : 0;
    errno = saved;
    if (!error)
        return syscall(SYS_read, file, bytes, count);
    mark("TEST_FAILED_READS", "r");
    errno = error;
    return -1;
}

static int slowly(long call, int file)
{
    const char *end = getenv("TEST_SYNC_UNTIL");
    mark("TEST_SYNCS", "b");
    while (end && access(end, F_OK) != 0)
        usleep(10000);
    int result = (int)syscall(call, file);
    mark("TEST_SYNCS", "e");
    return result;
}

int fsync(int file)
{
    return slowly(SYS_fsync, file);
}

int fdatasync(int file)
{
    return slowly(SYS_fdatasync, file);
}
