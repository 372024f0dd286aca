// Sends a file by tus-js-client: upload.mjs ENDPOINT TOKEN FILE [cut AT | resume URL]
// "cut" breaks the connection off when AT bytes have been accepted, "resume" goes on where an upload was cut. Both print
// the upload's address, and the offset at which sending began.
import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, token, file, mode, argument] = process.argv.slice(2);
let first = null;
const upload = new Upload(createReadStream(file), {
  endpoint,
  uploadUrl: mode === "resume" ? argument : null,
  uploadSize: statSync(file).size,
  chunkSize: 1 << 20,
  retryDelays: [0, 100, 500],
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: "disk.raw" },
  onBeforeRequest(request) {
    if (request.getMethod() === "PATCH") first ??= Number(request.getHeader("Upload-Offset"));
  },
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onChunkComplete(size, accepted) {
    if (mode === "cut" && accepted >= Number(argument)) {
      upload.abort().then(() => report());
    }
  },
  onSuccess() {
    report();
  },
});

function report() {
  console.log(JSON.stringify({ url: upload.url, first }));
  process.exit(0);
}

upload.start();
