/**
 * Starts a server on DEVPDS_HOST only: both servers themselves would listen on every interface.
 * DEVPDS_PORT is for a server whose URL names the port of a proxy in front of it.
 */
export async function serve(server, started) {
  const { app } = server
  const listen = app.listen.bind(app)
  app.listen = (port) => listen(process.env.DEVPDS_PORT ?? port, process.env.DEVPDS_HOST ?? '127.0.0.1')
  await server.start()
  console.log(started)

  let stopping
  const stop = () => (stopping ??= server.destroy().finally(() => process.exit(0)))
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
