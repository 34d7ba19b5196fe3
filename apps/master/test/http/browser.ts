import type { TestApp } from './start-app.ts'

/** A browser that has opened the login link: its cookie, and what its page sends with each request. */
export async function logIn({ app, deps }: Pick<TestApp, 'app' | 'deps'>, host = 'localhost') {
  const { pathname, search } = new URL(deps.keys.createLoginLink(`http://${host}`))
  const answer = await app.inject({ url: `${pathname}${search}`, headers: { host, 'user-agent': 'Test/1' } })
  const cookie = cookieOf(answer)
  const pageToken = new URL(`${answer.headers.location}`, 'http://localhost').hash.replace('#page=', '')
  const headers: Record<string, string> = { host, cookie, 'x-sc-page': pageToken }
  return { answer, cookie, pageToken, headers }
}

export function cookieOf({ headers }: { headers: Record<string, unknown> }): string {
  return `${[headers['set-cookie']].flat()[0]}`.split(';')[0] ?? ''
}
