/* Preloaded into a server under test. The function that TEST_REFUSE names fails with the error
   TEST_ERRNO in a program that goes on after an upgrade, until the file TEST_REFUSE_UNTIL is there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The error, or 0. */
static int refused(const char *name)
{
    const char *which = getenv("TEST_REFUSE"), *until = getenv("TEST_REFUSE_UNTIL");
    const char *number = getenv("TEST_ERRNO");
    if (!which || !until || !number || !getenv("PROCSERV_HANDOVER") || strcmp(which, name) != 0)
        return 0;
    return access(until, F_OK) == 0 ? 0 : atoi(number);
}

static int fails(const char *name)
{
    int error = refused(name);
    if (error)
        errno = error;
    return error != 0;
}

int epoll_create1(int flags)
{
    return fails("epoll_create1") ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int poll, int what, int fd, struct epoll_event *event)
{
    return fails("epoll_ctl") ? -1 : (int)syscall(SYS_epoll_ctl, poll, what, fd, event);
}

int eventfd(unsigned count, int flags)
{
    return fails("eventfd") ? -1 : (int)syscall(SYS_eventfd2, count, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    return fails("socketpair") ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

int socket(int domain, int type, int protocol)
{
    return fails("socket") ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

off_t lseek64(int fd, off_t offset, int whence)
{
    return fails("lseek") ? -1 : (off_t)syscall(SYS_lseek, fd, offset, whence);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_DUPFD_CLOEXEC && fails("fcntl"))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int error = refused("pthread_create");
    if (error)
        return error;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, run, argument);
}
