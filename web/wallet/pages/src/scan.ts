// QR codes by camera: the browser's own BarcodeDetector, else jsQR, which is loaded only then. Pictures stay on the device.

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}

// not in every browser, and so not in every TypeScript
interface DetectorKind {
  new (options: { formats: string[] }): Detector;
  getSupportedFormats(): Promise<string[]>;
}

/** Whether there may be a camera. */
export function canScan(): boolean {
  return typeof navigator.mediaDevices?.getUserMedia === 'function';
}

/** Shows the camera in `into` until a code is read or the person stops: its text, or nothing. */
export async function scan(into: HTMLElement): Promise<string | undefined> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }).catch(() => {
    throw new Error('There is no camera that this page may use. Paste the offer instead.');
  });
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.setAttribute('aria-label', 'The camera’s picture: point it at the QR code');
  const stop = document.createElement('button');
  stop.type = 'button';
  stop.className = 'secondary';
  stop.textContent = 'Stop the camera';
  let stopped = false;
  stop.onclick = () => (stopped = true);
  into.replaceChildren(video, stop);
  try {
    video.srcObject = stream;
    await video.play();
    const read = await reader();
    while (!stopped && into.isConnected) {
      const text = await read(video);
      if (text) return text;
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    return undefined;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    into.replaceChildren();
  }
}

async function reader(): Promise<(video: HTMLVideoElement) => Promise<string | undefined>> {
  const native = (window as unknown as { BarcodeDetector?: DetectorKind }).BarcodeDetector;
  if (native && (await native.getSupportedFormats().catch(() => [] as string[])).includes('qr_code')) {
    const detector = new native({ formats: ['qr_code'] });
    return async (video) => (await detector.detect(video))[0]?.rawValue;
  }
  const { default: jsQR } = await import('jsqr');
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return async (video) => {
    if (!context || video.videoWidth === 0) return undefined;
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    context.drawImage(video, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
    return jsQR(data, width, height)?.data;
  };
}
