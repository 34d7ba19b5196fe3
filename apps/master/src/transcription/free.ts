/**
 * Gives a buffer's memory back at once. Left to the garbage collector, what a 3 h recording is decoded to and cut into
 * makes the process grow by 40 to 86 MB; so by 35 MB.
 */
export function free({ buffer, length }: Buffer): void {
  // Node's small buffers share their memory with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0)
}
