import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'

/** A new secret, as Standard Webhooks writes it. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`
}

/** The headers of Standard Webhooks; a signature by each secret, since during a rotation receivers may know either. */
export function signedHeaders(id: string, body: string, secrets: string[], at = new Date()): Record<string, string> {
  const signatures = secrets.map(secret => new Webhook(secret).sign(id, at, body))
  return {
    'webhook-id': id,
    'webhook-timestamp': `${Math.floor(at.getTime() / 1000)}`,
    ...(signatures.length > 0 && { 'webhook-signature': signatures.join(' ') })
  }
}
