/* What a server does alone: requests on a few connections, one after the other on each, by a client that costs next to
   nothing: what comes back is dropped in the kernel, uncopied.
   load PORT CONNECTIONS SECONDS GET|PUT BYTES < paths, one a line, ready signed. Prints requests, bytes of bodies, seconds,
   and this process's own CPU seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char **paths;
static size_t count;
static int port, put;
static size_t size;
static char *body;
static double until;
static atomic_size_t next, requests, bytes;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "error: %s\n", what);
    exit(1);
}

static void send_all(int to, const char *data, size_t length, int flags) {
    while (length > 0) {
        ssize_t sent = send(to, data, length, MSG_NOSIGNAL | flags);
        if (sent <= 0) die("the server closed the connection");
        data += sent, length -= sent;
    }
}

/* The length of the answer's body; its head, and what came of the body with it, are taken. */
static size_t head(int from) {
    char text[8192];
    for (;;) {
        ssize_t more = recv(from, text, sizeof text - 1, MSG_PEEK);
        if (more <= 0) die("the server closed the connection");
        text[more] = 0;
        char *end = strstr(text, "\r\n\r\n");
        if (!end) { usleep(50); continue; }
        if (strncmp(text, "HTTP/1.1 200", 12) != 0) die(text);
        char *length = strcasestr(text, "\r\ncontent-length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        if (recv(from, text, end + 4 - text, 0) != end + 4 - text) die("a short read");
        return body;
    }
}

static void *connection(void *unused) {
    int s = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(s, (struct sockaddr *)&to, sizeof to) != 0) die("cannot connect");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    while (now() < until) {
        char text[4096];
        int length = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-length: %zu\r\n\r\n", put ? "PUT" : "GET",
                                                    paths[atomic_fetch_add(&next, 1) % count], port, put ? size : 0);
        send_all(s, text, length, put ? MSG_MORE : 0);
        if (put) send_all(s, body, size, 0);
        size_t left = head(s), came = left;
        while (left > 0) {
            /* TCP drops what is truncated. */
            ssize_t got = recv(s, NULL, left, MSG_TRUNC);
            if (got <= 0) die("the server closed the connection");
            left -= got;
        }
        if (!put && came != size) die("an object of another size");
        atomic_fetch_add(&requests, 1);
        atomic_fetch_add(&bytes, size);
    }
    close(s);
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 6) die("load PORT CONNECTIONS SECONDS GET|PUT BYTES < paths");
    port = atoi(argv[1]), put = strcmp(argv[4], "PUT") == 0, size = strtoul(argv[5], NULL, 10);
    int connections = atoi(argv[2]);
    body = calloc(1, size ? size : 1);
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        line[strcspn(line, "\n")] = 0;
        paths = realloc(paths, (count + 1) * sizeof *paths);
        paths[count++] = strdup(line);
    }
    if (count == 0) die("no paths");
    double begun = now();
    until = begun + atof(argv[3]);
    pthread_t threads[connections];
    for (int n = 0; n < connections; n++) pthread_create(&threads[n], NULL, connection, NULL);
    for (int n = 0; n < connections; n++) pthread_join(threads[n], NULL);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("%zu %zu %f %f\n", (size_t)requests, (size_t)bytes, now() - begun,
         used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}
