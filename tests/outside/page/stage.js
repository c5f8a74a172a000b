// What a game or a web page does with assets, each as a function that loads by address, draws, and answers facts.
import * as THREE from "three";
import { EXRLoader } from "three/addons/loaders/EXRLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { HDRLoader } from "three/addons/loaders/HDRLoader.js";
import { hear, play, view } from "./media.js";

const EDGE = 480;
// No material has this colour: whatever is not of it is the object.
const NOTHING = 0x00ff00;

const canvas = document.querySelector("canvas");
const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, preserveDrawingBuffer: true });
renderer.setSize(EDGE, EDGE, false);
const pmrem = new THREE.PMREMGenerator(renderer);
const lights = {};

window.stage = { model, sky, tiles, scene, play, hear, view };

// {glb, light}: the model alone; without `light` nothing shines on it. `turn` turns the light about the vertical.
// A light is an environment map: {url, format}.
async function model({ glb, light, turn = 0 }) {
  const world = new THREE.Scene();
  world.background = new THREE.Color(NOTHING);
  const object = await standing(glb);
  world.add(object);
  if (light) {
    world.environment = await lighting(light);
    world.environmentRotation.set(0, turn, 0);
  }
  draw(world, looking(from(2.2, 1.3, 2.2), 35), THREE.ACESFilmicToneMapping);
  return { drawn: true, ...contents(object) };
}

// {url, format}: the map as it is seen from its middle.
async function sky(map) {
  const texture = await equirectangular(map);
  const world = new THREE.Scene();
  world.background = texture;
  const camera = new THREE.PerspectiveCamera(90, 1, 0.1, 10);
  camera.lookAt(1, 0, 0);
  draw(world, camera, THREE.ACESFilmicToneMapping);
  const { width, height } = texture.image;
  return { drawn: true, width, height, ...radiance(texture) };
}

// {url, times}: the texture, so many times side by side and so many times one above the other.
async function tiles({ url, times }) {
  const texture = await coloured(url);
  texture.repeat.set(times, times);
  const world = new THREE.Scene();
  world.add(new THREE.Mesh(new THREE.PlaneGeometry(2, 2), new THREE.MeshBasicMaterial({ map: texture })));
  draw(world, new THREE.OrthographicCamera(-1, 1, 1, -1, -1, 1), THREE.NoToneMapping);
  return { drawn: true };
}

// {glb, floor, light, view}: all together.
async function scene({ glb, floor, light, view }) {
  const world = new THREE.Scene();
  const ground = await coloured(floor);
  ground.repeat.set(4, 4);
  ground.anisotropy = 4;
  const material = new THREE.MeshStandardMaterial({ map: ground, roughness: 0.9 });
  const plane = new THREE.Mesh(new THREE.CircleGeometry(4, 48), material);
  plane.rotation.x = -Math.PI / 2;
  world.add(plane, await standing(glb));
  world.environment = await lighting(light);
  world.background = await equirectangular(view);
  draw(world, looking(from(2.4, 1.1, 2.4), 45), THREE.ACESFilmicToneMapping);
  return { drawn: true };
}

function draw(world, camera, toneMapping) {
  renderer.toneMapping = toneMapping;
  renderer.render(world, camera);
  const error = renderer.getContext().getError();
  if (error) throw new Error(`WebGL error ${error}`);
}

// The model on the ground in the middle, one unit high or wide.
async function standing(url) {
  const { scene: object } = await new GLTFLoader().loadAsync(url);
  const box = new THREE.Box3().setFromObject(object);
  const size = box.getSize(new THREE.Vector3());
  const middle = box.getCenter(new THREE.Vector3());
  const scale = 1 / Math.max(size.x, size.y, size.z);
  object.position.set(-middle.x, -box.min.y, -middle.z).multiplyScalar(scale);
  object.scale.multiplyScalar(scale);
  return object;
}

function contents(object) {
  const maps = new Set();
  let triangles = 0;
  object.traverse(({ geometry, material }) => {
    if (!geometry) return;
    triangles += (geometry.index ?? geometry.attributes.position).count / 3;
    for (const [name, value] of Object.entries(material)) if (value?.isTexture) maps.add(name);
  });
  return { triangles, maps: [...maps].sort() };
}

function from(x, y, z) {
  return new THREE.Vector3(x, y, z);
}

function looking(eye, angle) {
  const camera = new THREE.PerspectiveCamera(angle, 1, 0.05, 50);
  camera.position.copy(eye);
  camera.lookAt(0, 0.45, 0);
  return camera;
}

async function coloured(url) {
  const texture = await new THREE.TextureLoader().loadAsync(url);
  texture.colorSpace = THREE.SRGBColorSpace;
  texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
  return texture;
}

async function equirectangular({ url, format }) {
  const loader = format === "hdr" ? new HDRLoader() : new EXRLoader();
  const texture = await loader.loadAsync(url);
  texture.mapping = THREE.EquirectangularReflectionMapping;
  return texture;
}

// What shines on materials of every roughness. Without a graphics card it takes seconds: once for each map.
async function lighting(map) {
  lights[map.url] ??= pmrem.fromEquirectangular(await equirectangular(map)).texture;
  return lights[map.url];
}

// The brightest and the mean of all red, green and blue values; 1 is white.
function radiance({ image: { data }, type }) {
  const read = type === THREE.HalfFloatType ? THREE.DataUtils.fromHalfFloat : (value) => value;
  let brightest = 0;
  let sum = 0;
  for (let at = 0; at < data.length; at += 1) {
    if (at % 4 === 3) continue;
    const value = read(data[at]);
    brightest = Math.max(brightest, value);
    sum += value;
  }
  return { brightest, mean: sum / (data.length * 0.75) };
}
