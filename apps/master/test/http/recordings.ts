import { SAMPLE_RATE } from '@sc/shared/transcription.ts'

/** The 44 bytes before `dataBytes` of 16 kHz mono s16le. */
export function wavHeader(dataBytes: number): Buffer {
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + dataBytes, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(1, 22)
  header.writeUInt32LE(SAMPLE_RATE, 24)
  header.writeUInt32LE(SAMPLE_RATE * 2, 28)
  header.writeUInt16LE(2, 32)
  header.writeUInt16LE(16, 34)
  header.write('data', 36)
  header.writeUInt32LE(dataBytes, 40)
  return header
}

/** `seconds` of a quiet tone, so that two lengths are two files. */
export function tone(seconds: number): Buffer {
  const samples = Math.round(seconds * SAMPLE_RATE)
  const data = Buffer.alloc(samples * 2)
  for (let at = 0; at < samples; at++) data.writeInt16LE(Math.round(3000 * Math.sin(at / 6)), at * 2)
  return Buffer.concat([wavHeader(data.length), data])
}

type Part = [name: string, value: string | { fileName: string; bytes: Buffer }]

/** A form in exactly this order. */
export function form(...parts: Part[]): { body: Buffer; headers: { 'content-type': string } } {
  const boundary = 'a-boundary-of-our-own'
  const pieces = parts.flatMap(([name, value]) => {
    const isFile = typeof value !== 'string'
    const fileName = isFile ? `; filename="${value.fileName}"` : ''
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${fileName}\r\n\r\n`
    return [Buffer.from(head), isFile ? value.bytes : Buffer.from(value), Buffer.from('\r\n')]
  })
  const body = Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)])
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }
}
