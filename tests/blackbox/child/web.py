# A small HTTP server as --listen expects one: takes its socket from LISTEN_FDS, answers each request
# after a while with its PID, and at SIGTERM accepts nothing more and finishes what it has begun.
# With a port instead it opens that itself, as most do.
import os, select, signal, socket, sys, threading, time

def notify(text):
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(text, "\0" + address[1:] if address[0] == "@" else address)

def answer(connection, delay):
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                return
            request += part
        time.sleep(delay)
        body = b"%d\n" % os.getpid()
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        # Closed with something unread, a connection is reset.
        connection.recv(1)

def main():
    delay = float(sys.argv[1])
    ending, wake = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: wake.send(b"x"))
    if len(sys.argv) > 2:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=4096)
    else:
        assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
        listener = socket.socket(fileno=3)
    # Two processes wait for the same connections: whoever comes second must not block.
    listener.setblocking(False)
    notify(b"READY=1")
    print("serving", flush=True)
    threads = []
    while True:
        ready, _, _ = select.select([listener, ending], [], [])
        if ending in ready:
            break
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        connection.setblocking(True)
        threads = [thread for thread in threads if thread.is_alive()]
        threads.append(threading.Thread(target=answer, args=(connection, delay)))
        threads[-1].start()
    listener.close()
    for thread in threads:
        thread.join()
    print("finished", flush=True)

main()
