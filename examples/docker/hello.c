/* Answers every request on PORT with a greeting, and ends when it is told to. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void end(int signal) {
    (void)signal;
    _exit(0);
}

int main(void) {
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 22\r\nConnection: close\r\n\r\nhello from a container";
    const char *port = getenv("PORT");
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 0) };
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int again = 1;

    /* The first process of a container gets only the signals that it handles. */
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
    if (address.sin_port == 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        fprintf(stderr, "PORT names no free port\n");
        return 1;
    }
    for (;;) {
        char request[4096];
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        if (read(client, request, sizeof request) > 0)
            (void)!write(client, answer, strlen(answer));
        close(client);
    }
}
