static float ek_sigmoid_f32(float x)
{
    return 1.0f / (1.0f + expf(-x));
}
