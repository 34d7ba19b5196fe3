import type { FastifyHelmetOptions } from '@fastify/helmet'

/** Only what this master serves itself may run in a browser, and no page of another site may frame it. `inline`: scripts and styles within a page. */
export function contentPolicy({ inline: isInline }: { inline: boolean }): string {
  const inline = isInline ? " 'unsafe-inline'" : ''
  return [
    "default-src 'self'",
    `script-src 'self'${inline}`,
    `style-src 'self'${inline}`,
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "form-action 'self'"
  ].join('; ')
}

export const SECURITY_HEADERS: FastifyHelmetOptions = {
  // Set by hand, because /docs needs another one.
  contentSecurityPolicy: false,
  // On a home network there is often no TLS; this header would lock browsers out.
  strictTransportSecurity: false
}
