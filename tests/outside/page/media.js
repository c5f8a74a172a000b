// What a page does with videos, sounds and pictures of another origin.

// No simple part of the whole, after which what goes around might be where it was.
const LATER = 0.37;

// {url}: seeks to a later moment, then plays from the beginning to the end, four times as fast as it is.
export async function play({ url }) {
  const video = document.createElement("video");
  Object.assign(video, { crossOrigin: "anonymous", muted: true, playsInline: true, preload: "auto" });
  await happened(video, "loadeddata", () => (video.src = url));
  const first = colours(video);
  await happened(video, "seeked", () => (video.currentTime = video.duration * LATER));
  const later = colours(video);
  await happened(video, "seeked", () => (video.currentTime = 0));
  video.playbackRate = 4;
  await happened(video, "ended", () => video.play());
  const { videoWidth: width, videoHeight: height, duration } = video;
  return { width, height, duration, first, later, last: colours(video) };
}

// {url}: plays the first moments, then decodes the whole.
export async function hear({ url }) {
  const audio = new Audio();
  Object.assign(audio, { crossOrigin: "anonymous", preload: "auto" });
  await happened(audio, "canplaythrough", () => (audio.src = url));
  await happened(audio, "timeupdate", () => audio.play());
  audio.pause();
  const bytes = await (await fetch(url)).arrayBuffer();
  const decoded = await new OfflineAudioContext(1, 1, 48_000).decodeAudioData(bytes);
  const peak = decoded.getChannelData(0).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return { duration: audio.duration, decoded: decoded.duration, channels: decoded.numberOfChannels, peak };
}

// {url}: a picture on the page.
export async function view({ url }) {
  const image = new Image();
  image.crossOrigin = "anonymous";
  image.src = url;
  await image.decode();
  const { type } = await (await fetch(url)).blob();
  return { type, width: image.naturalWidth, height: image.naturalHeight, colours: colours(image) };
}

// 8 by 8 pixels of what is shown; a source that the page may not read throws here.
function colours(source) {
  const context = new OffscreenCanvas(8, 8).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, 8, 8);
  return [...context.getImageData(0, 0, 8, 8).data];
}

function happened(element, event, cause) {
  return new Promise((resolve, reject) => {
    element.addEventListener(event, resolve, { once: true });
    element.addEventListener("error", () => reject(new Error(element.error?.message || "cannot be played")));
    Promise.resolve(cause()).catch(reject);
  });
}
