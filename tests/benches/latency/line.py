"""A line to a server on loopback: whatever a client sends arrives so many milliseconds later. `line.py PORT MS` prints its own port."""

import asyncio
import sys


async def carry(reader, writer, delay):
    """Passes pieces on, each by its own time: they do not queue behind each other's delay."""
    clock = asyncio.get_running_loop().time
    pieces = asyncio.Queue(maxsize=64)

    async def read():
        try:
            while piece := await reader.read(1 << 18):
                await pieces.put((clock() + delay, piece))
        except OSError:
            pass
        await pieces.put((0, b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, piece = await pieces.get()
            if not piece:
                break
            await asyncio.sleep(max(0, due - clock()))
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        reading.cancel()
        writer.close()


async def main(port, delay):
    async def connect(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, far_writer, delay), carry(far_reader, writer, 0))

    server = await asyncio.start_server(connect, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
